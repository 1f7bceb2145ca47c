# Vault makes the password and shows it to Airflow's instance and to the function; neither you nor the state file see it.

resource "oci_kms_vault" "main" {
  count          = var.vault_ocid == "" ? 1 : 0
  compartment_id = var.compartment_ocid
  display_name   = "${var.prefix}-vault"
  vault_type     = "DEFAULT"
  freeform_tags  = local.tags
}

data "oci_kms_vault" "given" {
  count    = var.vault_ocid == "" ? 0 : 1
  vault_id = var.vault_ocid
}

locals {
  vault = try(oci_kms_vault.main[0], data.oci_kms_vault.given[0])
  key   = var.key_ocid == "" ? oci_kms_key.main[0].id : var.key_ocid
}

resource "oci_kms_key" "main" {
  count               = var.key_ocid == "" ? 1 : 0
  compartment_id      = var.compartment_ocid
  display_name        = "${var.prefix}-key"
  management_endpoint = local.vault.management_endpoint
  protection_mode     = "SOFTWARE"
  freeform_tags       = local.tags

  key_shape {
    algorithm = "AES"
    length    = 32
  }
}

resource "oci_vault_secret" "airflow_password" {
  compartment_id         = var.compartment_ocid
  vault_id               = local.vault.id
  key_id                 = local.key
  secret_name            = "${var.prefix}-airflow-${var.airflow_user}"
  description            = "Password of Airflow's user ${var.airflow_user}"
  enable_auto_generation = true
  freeform_tags          = local.tags

  secret_generation_context {
    generation_type     = "PASSPHRASE"
    generation_template = "SECRETS_DEFAULT_PASSWORD"
    passphrase_length   = 32
  }
}
