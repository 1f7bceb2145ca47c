# The event's path. Without an image there is no function yet: push it with push_function.sh, then apply again.

locals {
  with_function = var.function_image != ""
}

resource "oci_artifacts_container_repository" "function" {
  compartment_id = var.compartment_ocid
  display_name   = "${var.prefix}/oci-event"
  is_public      = false
  is_immutable   = true
  freeform_tags  = local.tags
}

resource "oci_functions_application" "events" {
  compartment_id             = var.compartment_ocid
  display_name               = "${var.prefix}-events"
  subnet_ids                 = [local.function_subnet]
  network_security_group_ids = [oci_core_network_security_group.function.id]
  freeform_tags              = local.tags

  # OCIDs, names and addresses only: who may read an application's configuration learns no secret.
  config = {
    AIRFLOW_URL         = local.airflow_url
    AIRFLOW_USER        = var.airflow_user
    AIRFLOW_SECRET_OCID = oci_vault_secret.airflow_password.id
    AIRFLOW_CA_PEM      = var.airflow_ca_pem
    IGNORED_PREFIXES    = "imported/"
  }
}

resource "oci_functions_function" "event" {
  count              = local.with_function ? 1 : 0
  application_id     = oci_functions_application.events.id
  display_name       = "${var.prefix}-oci-event"
  image              = var.function_image
  image_digest       = var.function_image_digest
  memory_in_mbs      = 256
  timeout_in_seconds = 60
  freeform_tags      = local.tags

  failure_destination {
    kind     = "QUEUE"
    queue_id = oci_queue_queue.failed_events.id
  }

  lifecycle {
    precondition {
      condition     = var.function_image_digest != ""
      error_message = "function_image needs its function_image_digest; push_function.sh prints both."
    }
  }
}

# What no call could deliver waits here for a person. Airflow's own look at the bucket does not depend on it.
resource "oci_queue_queue" "failed_events" {
  compartment_id                   = var.compartment_ocid
  display_name                     = "${var.prefix}-failed-events"
  retention_in_seconds             = 604800
  visibility_in_seconds            = 60
  dead_letter_queue_delivery_count = 5
  freeform_tags                    = local.tags
}

resource "oci_events_rule" "uploads" {
  count          = local.with_function ? 1 : 0
  compartment_id = var.compartment_ocid
  display_name   = "${var.prefix}-uploads"
  description    = "An object in ${var.bucket_name} was made or changed"
  is_enabled     = true
  freeform_tags  = local.tags

  condition = jsonencode({
    eventType = [
      "com.oraclecloud.objectstorage.createobject",
      "com.oraclecloud.objectstorage.updateobject",
    ]
    data = {
      additionalDetails = { bucketName = [var.bucket_name] }
    }
  })

  actions {
    actions {
      action_type = "FAAS"
      description = "Start the import in Airflow"
      is_enabled  = true
      function_id = oci_functions_function.event[0].id
    }

    dynamic "actions" {
      for_each = var.notify_topic_ocid == "" ? [] : [var.notify_topic_ocid]

      content {
        action_type = "ONS"
        description = "Tell people"
        is_enabled  = true
        topic_id    = actions.value
      }
    }
  }
}

resource "oci_logging_log_group" "main" {
  compartment_id = var.compartment_ocid
  display_name   = "${var.prefix}-logs"
  freeform_tags  = local.tags
}

resource "oci_logging_log" "function" {
  display_name       = "${var.prefix}-function"
  log_group_id       = oci_logging_log_group.main.id
  log_type           = "SERVICE"
  is_enabled         = true
  retention_duration = 30
  freeform_tags      = local.tags

  configuration {
    compartment_id = var.compartment_ocid

    source {
      category    = "invoke"
      resource    = oci_functions_application.events.id
      service     = "functions"
      source_type = "OCISERVICE"
    }
  }
}
