data "oci_identity_region_subscriptions" "all" {
  tenancy_id = var.tenancy_ocid
}

data "oci_identity_availability_domains" "all" {
  compartment_id = var.tenancy_ocid
}

data "oci_objectstorage_namespace" "here" {
  compartment_id = var.tenancy_ocid
}

locals {
  home_region        = one([for one in data.oci_identity_region_subscriptions.all.region_subscriptions : one.region_name if one.is_home_region])
  domains            = data.oci_identity_availability_domains.all.availability_domains
  namespace          = data.oci_objectstorage_namespace.here.namespace
  worker_compartment = var.worker_compartment_ocid == "" ? var.compartment_ocid : var.worker_compartment_ocid
  tags               = merge(var.freeform_tags, { "managed-by" = "vmferry-terraform" })

  vcn             = var.create_network ? oci_core_vcn.main[0].id : var.vcn_ocid
  airflow_subnet  = var.create_network ? oci_core_subnet.private["airflow"].id : var.airflow_subnet_ocid
  worker_subnet   = var.create_network ? oci_core_subnet.private["workers"].id : var.worker_subnet_ocid
  function_subnet = var.create_network ? oci_core_subnet.private["function"].id : var.function_subnet_ocid

  airflow_port = 8443
  airflow_url  = var.airflow_url != "" ? var.airflow_url : "https://${try(oci_core_instance.airflow[0].private_ip, "airflow.invalid")}:${local.airflow_port}"
}
