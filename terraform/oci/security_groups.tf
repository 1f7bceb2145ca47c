# Who may talk to whom: people and the function to Airflow, Airflow to workers; nobody else, and nothing from the internet.

resource "oci_core_network_security_group" "airflow" {
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-airflow"
  freeform_tags  = local.tags
}

resource "oci_core_network_security_group" "workers" {
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-workers"
  freeform_tags  = local.tags
}

resource "oci_core_network_security_group" "function" {
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-function"
  freeform_tags  = local.tags
}

resource "oci_core_network_security_group_security_rule" "people_to_airflow" {
  for_each = toset(var.allowed_cidrs)

  network_security_group_id = oci_core_network_security_group.airflow.id
  description               = "People to Airflow's pages"
  direction                 = "INGRESS"
  protocol                  = "6"
  source                    = each.value
  source_type               = "CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = local.airflow_port
      max = local.airflow_port
    }
  }
}

resource "oci_core_network_security_group_security_rule" "admins_to_airflow" {
  for_each = var.ssh_public_key == "" ? toset([]) : toset(var.allowed_cidrs)

  network_security_group_id = oci_core_network_security_group.airflow.id
  description               = "Admins to Airflow's instance"
  direction                 = "INGRESS"
  protocol                  = "6"
  source                    = each.value
  source_type               = "CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = 22
      max = 22
    }
  }
}

resource "oci_core_network_security_group_security_rule" "function_to_airflow" {
  network_security_group_id = oci_core_network_security_group.airflow.id
  description               = "The function to Airflow's REST API"
  direction                 = "INGRESS"
  protocol                  = "6"
  source                    = oci_core_network_security_group.function.id
  source_type               = "NETWORK_SECURITY_GROUP"

  tcp_options {
    destination_port_range {
      min = local.airflow_port
      max = local.airflow_port
    }
  }
}

resource "oci_core_network_security_group_security_rule" "airflow_to_workers" {
  network_security_group_id = oci_core_network_security_group.workers.id
  description               = "Airflow starts jobs over SSH"
  direction                 = "INGRESS"
  protocol                  = "6"
  source                    = oci_core_network_security_group.airflow.id
  source_type               = "NETWORK_SECURITY_GROUP"

  tcp_options {
    destination_port_range {
      min = 22
      max = 22
    }
  }
}

resource "oci_core_network_security_group_security_rule" "airflow_out" {
  network_security_group_id = oci_core_network_security_group.airflow.id
  description               = "To sites, clouds, mirrors and workers"
  direction                 = "EGRESS"
  protocol                  = "6"
  destination               = "0.0.0.0/0"
  destination_type          = "CIDR_BLOCK"
}

resource "oci_core_network_security_group_security_rule" "workers_out" {
  network_security_group_id = oci_core_network_security_group.workers.id
  description               = "To Object Storage and package mirrors of the region; not to the internet"
  direction                 = "EGRESS"
  protocol                  = "6"
  destination               = data.oci_core_services.all.services[0].cidr_block
  destination_type          = "SERVICE_CIDR_BLOCK"
}

resource "oci_core_network_security_group_security_rule" "function_to_services" {
  network_security_group_id = oci_core_network_security_group.function.id
  description               = "To Object Storage and Vault"
  direction                 = "EGRESS"
  protocol                  = "6"
  destination               = data.oci_core_services.all.services[0].cidr_block
  destination_type          = "SERVICE_CIDR_BLOCK"
}

resource "oci_core_network_security_group_security_rule" "function_out_to_airflow" {
  network_security_group_id = oci_core_network_security_group.function.id
  description               = "To Airflow"
  direction                 = "EGRESS"
  protocol                  = "6"
  destination               = oci_core_network_security_group.airflow.id
  destination_type          = "NETWORK_SECURITY_GROUP"

  tcp_options {
    destination_port_range {
      min = local.airflow_port
      max = local.airflow_port
    }
  }
}
