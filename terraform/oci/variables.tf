variable "tenancy_ocid" {
  description = "The tenancy"
  type        = string

  validation {
    condition     = startswith(var.tenancy_ocid, "ocid1.tenancy.")
    error_message = "A tenancy's OCID begins with ocid1.tenancy."
  }
}

variable "compartment_ocid" {
  description = "Compartment of the bucket, the function, Airflow and the imported volumes"
  type        = string

  validation {
    condition     = startswith(var.compartment_ocid, "ocid1.compartment.") || startswith(var.compartment_ocid, "ocid1.tenancy.")
    error_message = "A compartment's OCID begins with ocid1.compartment."
  }
}

variable "worker_compartment_ocid" {
  description = "Compartment of the workers that read what strangers uploaded; best one that holds nothing else. Empty: the one above"
  type        = string
  default     = ""
}

variable "region" {
  description = "Region, e.g. eu-frankfurt-1"
  type        = string
}

variable "prefix" {
  description = "Begins the names of all that is made"
  type        = string
  default     = "vmferry"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.prefix))
    error_message = "Small letters, digits and dashes, 2 to 21 of them, a letter first."
  }
}

# Network

variable "create_network" {
  description = "Make a VCN with private subnets; false: use those below"
  type        = bool
  default     = true
}

variable "vcn_cidr" {
  description = "Addresses of the VCN that is made; three /24 are taken from it"
  type        = string
  default     = "10.77.0.0/16"

  validation {
    condition     = can(cidrhost(var.vcn_cidr, 1)) && tonumber(split("/", var.vcn_cidr)[1]) <= 22
    error_message = "Write it as 10.77.0.0/16, with /22 or more room."
  }
}

variable "vcn_ocid" {
  description = "VCN to use when none is made"
  type        = string
  default     = ""
}

variable "airflow_subnet_ocid" {
  description = "Private subnet for Airflow when none is made"
  type        = string
  default     = ""
}

variable "worker_subnet_ocid" {
  description = "Private subnet for workers when none is made"
  type        = string
  default     = ""
}

variable "function_subnet_ocid" {
  description = "Private subnet for the function when none is made"
  type        = string
  default     = ""
}

variable "allowed_cidrs" {
  description = "Networks of the people who use Airflow, e.g. your VPN's; never the whole internet"
  type        = list(string)

  validation {
    condition     = alltrue([for one in var.allowed_cidrs : can(cidrhost(one, 0)) && tonumber(split("/", one)[1]) >= 8])
    error_message = "Write each as 192.0.2.0/24; nothing wider than /8."
  }
}

# Bucket

variable "bucket_name" {
  description = "Bucket that images are uploaded to"
  type        = string
  default     = "vmferry-uploads"
}

variable "delete_imported_after_days" {
  description = "Objects that an import moved under imported/ are deleted after so many days; 0: never"
  type        = number
  default     = 30

  validation {
    condition     = var.delete_imported_after_days >= 0 && var.delete_imported_after_days == floor(var.delete_imported_after_days)
    error_message = "A whole number of days, 0 or more."
  }
}

# Function

variable "function_image" {
  description = "Image of functions/oci_event in this region's registry; push_function.sh prints it. Empty: no function yet"
  type        = string
  default     = ""
}

variable "function_image_digest" {
  description = "Digest of that image, sha256:...; push_function.sh prints it"
  type        = string
  default     = ""

  validation {
    condition     = var.function_image_digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.function_image_digest))
    error_message = "A digest is sha256: and 64 hex digits."
  }
}

variable "airflow_url" {
  description = "Where the function reaches Airflow, https://...; empty: the instance that is made"
  type        = string
  default     = ""

  validation {
    condition     = var.airflow_url == "" || startswith(var.airflow_url, "https://")
    error_message = "Only https: the function sends a password."
  }
}

variable "airflow_user" {
  description = "Airflow's user for the function, with a role that may only read and run the import DAG"
  type        = string
  default     = "oci-event"
}

variable "airflow_ca_pem" {
  description = "Certificate of the authority that signed Airflow's; empty: one that every system knows"
  type        = string
  default     = ""
}

# Secrets. Their content is made in Vault and never comes here, so no state file holds it.

variable "vault_ocid" {
  description = "Vault to use; empty: one is made"
  type        = string
  default     = ""
}

variable "key_ocid" {
  description = "Key in that vault; empty: one is made"
  type        = string
  default     = ""
}

# Airflow's instance

variable "create_airflow" {
  description = "Make an instance that runs Airflow; false: you have one"
  type        = bool
  default     = true
}

variable "airflow_instance_ocid" {
  description = "An OCI instance of yours that runs Airflow, when none is made; empty: Airflow has an API key"
  type        = string
  default     = ""
}

variable "airflow_shape" {
  description = "Shape of Airflow's instance"
  type        = string
  default     = "VM.Standard.E5.Flex"
}

variable "airflow_ocpus" {
  description = "Its OCPUs"
  type        = number
  default     = 2
}

variable "airflow_memory_gb" {
  description = "Its memory in GB"
  type        = number
  default     = 16
}

variable "availability_domain" {
  description = "Number of the availability domain of Airflow's instance, from 1"
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.availability_domain)
    error_message = "1, 2 or 3."
  }
}

variable "ssh_public_key" {
  description = "Your public key for Airflow's instance; the private one stays with you"
  type        = string
  default     = ""
}

variable "vmferry_repository" {
  description = "Git address that Airflow's instance takes vmferry from"
  type        = string
  default     = ""
}

variable "vmferry_ref" {
  description = "Tag or commit of it"
  type        = string
  default     = ""
}

# Notices

variable "notify_topic_ocid" {
  description = "Notifications topic that hears of uploads too; empty: none"
  type        = string
  default     = ""
}

variable "worker_reads_bucket" {
  description = "Let workers read the bucket by themselves. Not needed: they are given an address for one object, for a short time"
  type        = bool
  default     = false
}

variable "freeform_tags" {
  description = "Tags on all that is made"
  type        = map(string)
  default     = {}
}
