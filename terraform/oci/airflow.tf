# An instance that runs Airflow under systemd, from a given version of vmferry. It is its own principal: no API key lies on it.

data "oci_core_images" "ubuntu" {
  count                    = var.create_airflow ? 1 : 0
  compartment_id           = var.compartment_ocid
  operating_system         = "Canonical Ubuntu"
  operating_system_version = "24.04"
  shape                    = var.airflow_shape
  sort_by                  = "TIMECREATED"
  sort_order               = "DESC"
}

resource "oci_core_instance" "airflow" {
  count               = var.create_airflow ? 1 : 0
  compartment_id      = var.compartment_ocid
  availability_domain = local.domains[var.availability_domain - 1].name
  display_name        = "${var.prefix}-airflow"
  shape               = var.airflow_shape
  freeform_tags       = local.tags

  shape_config {
    ocpus         = var.airflow_ocpus
    memory_in_gbs = var.airflow_memory_gb
  }

  source_details {
    source_type             = "image"
    source_id               = data.oci_core_images.ubuntu[0].images[0].id
    boot_volume_size_in_gbs = 100
  }

  create_vnic_details {
    subnet_id        = local.airflow_subnet
    nsg_ids          = [oci_core_network_security_group.airflow.id]
    assign_public_ip = false
    display_name     = "${var.prefix}-airflow"
  }

  instance_options {
    are_legacy_imds_endpoints_disabled = true
  }

  is_pv_encryption_in_transit_enabled = true

  metadata = merge(
    var.ssh_public_key == "" ? {} : { ssh_authorized_keys = var.ssh_public_key },
    {
      user_data = base64encode(templatefile("${path.module}/first_boot.yaml.tftpl", {
        repository  = var.vmferry_repository
        ref         = var.vmferry_ref
        secret_ocid = oci_vault_secret.airflow_password.id
        user        = var.airflow_user
        port        = local.airflow_port
      }))
    },
  )

  lifecycle {
    ignore_changes = [source_details[0].source_id, metadata] # a newer image or first boot is no reason to make it anew

    precondition {
      condition     = var.vmferry_repository != "" && var.vmferry_ref != ""
      error_message = "create_airflow needs vmferry_repository and vmferry_ref."
    }
  }
}
