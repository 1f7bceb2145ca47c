# Three principals, each with what it does and nothing more. docs/oci.md explains every line.

resource "oci_identity_dynamic_group" "airflow" {
  count          = local.airflow_is_instance ? 1 : 0
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.prefix}-airflow"
  description    = "The instance that runs Airflow"
  matching_rule  = "instance.id = '${local.airflow_instance}'"
  freeform_tags  = local.tags
}

resource "oci_identity_dynamic_group" "workers" {
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.prefix}-workers"
  description    = "Instances that write imported images; they read what strangers uploaded, so they may do nothing"
  matching_rule  = local.worker_rule
  freeform_tags  = local.tags
}

resource "oci_identity_dynamic_group" "function" {
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.prefix}-function"
  description    = "The function that hears of uploads"
  matching_rule  = "All {resource.type = 'fnfunc', resource.compartment.id = '${var.compartment_ocid}'}"
  freeform_tags  = local.tags
}

locals {
  airflow_is_instance = var.create_airflow || var.airflow_instance_ocid != ""
  airflow_instance    = var.create_airflow ? one(oci_core_instance.airflow[*].id) : var.airflow_instance_ocid

  # In a compartment of their own, workers are all that is in it. Else Airflow's instance has to be left out by name.
  worker_rule = local.worker_compartment != var.compartment_ocid || !local.airflow_is_instance ? (
    "instance.compartment.id = '${local.worker_compartment}'"
    ) : (
    "All {instance.compartment.id = '${local.worker_compartment}', instance.id != '${local.airflow_instance}'}"
  )

  airflow_group  = "dynamic-group ${var.prefix}-airflow"
  workers_group  = "dynamic-group ${oci_identity_dynamic_group.workers.name}"
  function_group = "dynamic-group ${oci_identity_dynamic_group.function.name}"

  in_main    = "in compartment id ${var.compartment_ocid}"
  in_workers = "in compartment id ${local.worker_compartment}"
  our_bucket = "target.bucket.name = '${var.bucket_name}'"
  our_secret = "target.secret.id = '${oci_vault_secret.airflow_password.id}'"
}

resource "oci_identity_policy" "airflow" {
  count          = local.airflow_is_instance ? 1 : 0
  provider       = oci.home
  compartment_id = var.tenancy_ocid
  name           = "${var.prefix}-airflow"
  description    = "What Airflow does in an import"
  freeform_tags  = local.tags
  depends_on     = [oci_identity_dynamic_group.airflow]

  statements = [
    "allow ${local.airflow_group} to manage instances ${local.in_workers}",
    "allow ${local.airflow_group} to read instance-images ${local.in_workers}",
    "allow ${local.airflow_group} to manage volume-attachments ${local.in_workers}",
    "allow ${local.airflow_group} to use subnets ${local.in_main}",
    "allow ${local.airflow_group} to use network-security-groups ${local.in_main}",
    "allow ${local.airflow_group} to use vnics ${local.in_workers}",
    "allow ${local.airflow_group} to manage volumes ${local.in_main}",
    "allow ${local.airflow_group} to manage boot-volumes ${local.in_main}",
    "allow ${local.airflow_group} to manage instance-images ${local.in_main}",
    "allow ${local.airflow_group} to manage backup-policy-assignments ${local.in_main}",
    "allow ${local.airflow_group} to read backup-policies in tenancy",
    "allow ${local.airflow_group} to inspect compartments in tenancy",
    "allow ${local.airflow_group} to read buckets ${local.in_main} where ${local.our_bucket}",
    "allow ${local.airflow_group} to manage objects ${local.in_main} where ${local.our_bucket}",
    "allow ${local.airflow_group} to manage buckets ${local.in_main} where all {${local.our_bucket}, request.permission = 'PAR_MANAGE'}",
    "allow ${local.airflow_group} to read secret-bundles ${local.in_main} where ${local.our_secret}",
  ]
}

resource "oci_identity_policy" "workers" {
  count          = var.worker_reads_bucket ? 1 : 0
  provider       = oci.home
  compartment_id = var.compartment_ocid
  name           = "${var.prefix}-workers"
  description    = "Workers read the bucket by themselves"
  freeform_tags  = local.tags

  statements = ["allow ${local.workers_group} to read objects ${local.in_main} where ${local.our_bucket}"]
}

resource "oci_identity_policy" "function" {
  provider       = oci.home
  compartment_id = var.compartment_ocid
  name           = "${var.prefix}-function"
  description    = "The function looks at the object and logs in to Airflow"
  freeform_tags  = local.tags

  statements = [
    "allow ${local.function_group} to read objects ${local.in_main} where ${local.our_bucket}",
    "allow ${local.function_group} to read secret-bundles ${local.in_main} where ${local.our_secret}",
    "allow ${local.function_group} to use queue-push ${local.in_main} where target.queue.id = '${oci_queue_queue.failed_events.id}'",
  ]
}

resource "oci_identity_policy" "lifecycle" {
  provider       = oci.home
  compartment_id = var.compartment_ocid
  name           = "${var.prefix}-lifecycle"
  description    = "Object Storage itself deletes what the lifecycle policy names"
  freeform_tags  = local.tags

  statements = [
    "allow service objectstorage-${var.region} to manage object-family ${local.in_main} where ${local.our_bucket}",
  ]
}
