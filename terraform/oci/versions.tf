terraform {
  required_version = ">= 1.5"

  required_providers {
    oci = {
      source  = "oracle/oci"
      version = "~> 8.0"
    }
  }
}

provider "oci" {
  region = var.region
}

# Identity can only be written in the tenancy's home region.
provider "oci" {
  alias  = "home"
  region = local.home_region
}
