resource "oci_objectstorage_bucket" "uploads" {
  compartment_id        = var.compartment_ocid
  namespace             = local.namespace
  name                  = var.bucket_name
  access_type           = "NoPublicAccess"
  object_events_enabled = true
  storage_tier          = "Standard"
  freeform_tags         = local.tags

  lifecycle {
    prevent_destroy = true # it holds people's images
  }
}

# A lifecycle rule deletes; a retention rule would forbid deleting.
resource "oci_objectstorage_object_lifecycle_policy" "uploads" {
  namespace  = local.namespace
  bucket     = oci_objectstorage_bucket.uploads.name
  depends_on = [oci_identity_policy.lifecycle]

  rules {
    name        = "unfinished-uploads"
    action      = "ABORT"
    is_enabled  = true
    target      = "multipart-uploads"
    time_amount = 7
    time_unit   = "DAYS"
  }

  dynamic "rules" {
    for_each = var.delete_imported_after_days > 0 ? [var.delete_imported_after_days] : []

    content {
      name        = "imported"
      action      = "DELETE"
      is_enabled  = true
      target      = "objects"
      time_amount = rules.value
      time_unit   = "DAYS"

      object_name_filter {
        inclusion_prefixes = ["imported/"]
      }
    }
  }
}
