# Private subnets only. What is needed from outside comes through the NAT gateway, Object Storage through the service gateway.

data "oci_core_services" "all" {
  filter {
    name   = "name"
    values = ["All .* Services In Oracle Services Network"]
    regex  = true
  }
}

resource "oci_core_vcn" "main" {
  count          = var.create_network ? 1 : 0
  compartment_id = var.compartment_ocid
  cidr_blocks    = [var.vcn_cidr]
  display_name   = "${var.prefix}-vcn"
  dns_label      = "vmferry"
  freeform_tags  = local.tags
}

resource "oci_core_nat_gateway" "main" {
  count          = var.create_network ? 1 : 0
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-nat"
  freeform_tags  = local.tags
}

resource "oci_core_service_gateway" "main" {
  count          = var.create_network ? 1 : 0
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-services"
  freeform_tags  = local.tags

  services {
    service_id = data.oci_core_services.all.services[0].id
  }
}

resource "oci_core_route_table" "private" {
  count          = var.create_network ? 1 : 0
  compartment_id = var.compartment_ocid
  vcn_id         = local.vcn
  display_name   = "${var.prefix}-private"
  freeform_tags  = local.tags

  route_rules {
    description       = "Oracle's services without the internet"
    destination       = data.oci_core_services.all.services[0].cidr_block
    destination_type  = "SERVICE_CIDR_BLOCK"
    network_entity_id = oci_core_service_gateway.main[0].id
  }

  route_rules {
    description       = "Packages, and sites elsewhere"
    destination       = "0.0.0.0/0"
    destination_type  = "CIDR_BLOCK"
    network_entity_id = oci_core_nat_gateway.main[0].id
  }
}

# The default list lets SSH in from everywhere: it becomes one that lets nothing in and out. Security groups say what may pass.
resource "oci_core_default_security_list" "closed" {
  count                      = var.create_network ? 1 : 0
  compartment_id             = var.compartment_ocid
  manage_default_resource_id = oci_core_vcn.main[0].default_security_list_id
  display_name               = "${var.prefix}-closed"
  freeform_tags              = local.tags
}

resource "oci_core_subnet" "private" {
  for_each = var.create_network ? { airflow = 0, workers = 1, function = 2 } : {}

  compartment_id             = var.compartment_ocid
  vcn_id                     = local.vcn
  cidr_block                 = cidrsubnet(var.vcn_cidr, 24 - tonumber(split("/", var.vcn_cidr)[1]), each.value)
  display_name               = "${var.prefix}-${each.key}"
  dns_label                  = each.key
  prohibit_public_ip_on_vnic = true
  prohibit_internet_ingress  = true
  route_table_id             = oci_core_route_table.private[0].id
  security_list_ids          = [oci_core_vcn.main[0].default_security_list_id]
  freeform_tags              = local.tags
}
