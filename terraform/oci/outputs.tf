output "bucket" {
  description = "Upload images here"
  value       = "${local.namespace}/${oci_objectstorage_bucket.uploads.name}"
}

output "airflow_url" {
  description = "Airflow's pages, for those in allowed_cidrs"
  value       = local.airflow_url
}

output "function_repository" {
  description = "Where push_function.sh pushes to"
  value       = "${var.region}.ocir.io/${local.namespace}/${oci_artifacts_container_repository.function.display_name}"
}

output "function" {
  description = "The function's OCID; empty before its image is there"
  value       = local.with_function ? oci_functions_function.event[0].id : ""
}

output "failed_events_queue" {
  description = "Events that no call could deliver"
  value       = oci_queue_queue.failed_events.id
}

output "airflow_password_secret" {
  description = "OCID of the secret; its content is in Vault only"
  value       = oci_vault_secret.airflow_password.id
}

output "import_rule" {
  description = "The rule for variables.json (imports)"
  value = jsonencode({
    site        = "oci"
    bucket      = oci_objectstorage_bucket.uploads.name
    namespace   = local.namespace
    compartment = var.compartment_ocid
    worker      = { subnet = local.worker_subnet }
  })
}
