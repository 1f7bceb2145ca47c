"""The check of the Terraform stack: the stack as it is passes, and each planted fault is found."""

# ruff: noqa: E501  one fault a line

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scripts.check_terraform import STACK, main

FAULTS = {
    "misspelt argument": ("function.tf", "memory_in_mbs ", "memory_in_mb ", "memory_in_mb'"),
    "missing argument": ("function.tf", "  memory_in_mbs      = 256\n", "", "lacks 'memory_in_mbs'"),
    "misspelt argument in a block": ("function.tf", "    queue_id = oci", "    queue_idd = oci", "queue_idd"),
    "misspelt block": ("function.tf", "  failure_destination {", "  fail_destination {", "fail_destination"),
    "misspelt block in a dynamic one": ("bucket.tf", "      object_name_filter {", "      name_filter {", "name_filter"),
    "unknown resource": ("function.tf", '"oci_queue_queue" "failed', '"oci_queue_line" "failed', "oci_queue_line"),
    "no such resource": ("function.tf", "oci_functions_function.event[0].id\n", "oci_functions_function.evnt[0].id\n", "evnt"),
    "no such data source": ("network.tf", "data.oci_core_services.all.services", "data.oci_core_services.al.services", ".al "),
    "no such variable": ("bucket.tf", "= var.bucket_name", "= var.bucket", "var.bucket is not declared"),
    "no such local": ("bucket.tf", "= local.namespace", "= local.namespce", "namespce is not declared"),
    "unused variable": ("variables.tf", 'variable "prefix"', 'variable "spare" {}\n\nvariable "prefix"', "never used"),
    "text for a truth": ("bucket.tf", "object_events_enabled = true", 'object_events_enabled = "often"', "no bool"),
    "text for a number": ("secrets.tf", "passphrase_length   = 32", 'passphrase_length   = "long"', "no int"),
    "list for a text": ("bucket.tf", 'storage_tier          = "Standard"', 'storage_tier          = ["Standard"]', "no str"),
    "open door": ("security_groups.tf", "source                    = each.value", 'source = "0.0.0.0/0"', "lets everybody in"),
    "open by default": ("variables.tf", '"10.77.0.0/16"\n\n', '"0.0.0.0/0"\n\n', "stand open"),
    "secret in the state": ("variables.tf", 'variable "key_ocid"', 'variable "airflow_password"', "state file"),
    "public bucket": ("bucket.tf", '"NoPublicAccess"', '"ObjectRead"', "NoPublicAccess"),
    "wide policy": ("iam.tf", "to manage volumes ${local.in_main}", "to manage all-resources in tenancy", "too wide"),
    "policy in a whole tenancy": ("iam.tf", "to manage volumes ${local.in_main}", "to manage volumes in tenancy", "too wide"),
    "policy without a place": ("iam.tf", "to manage volumes ${local.in_main}", "to manage volumes", "cannot read"),
    "misspelt verb": ("iam.tf", "to manage volumes ${", "to own volumes ${", "cannot read"),
    "provisioner": ("bucket.tf", "  lifecycle {", '  provisioner "local-exec" {\n    command = "id"\n  }\n\n  lifecycle {', "provisioner"),
    "old provider": ("versions.tf", '"oracle/oci"', '"hashicorp/oci"', "oracle/oci"),
    "no version": ("versions.tf", '"~> 8.0"', '">= 4"', "pin"),
    "form lacks a variable": ("schema.yaml", "      - vcn_cidr\n", "", "vcn_cidr is in no group"),
    "form asks for what has a default": ("schema.yaml", "required: false", "required: true", "not required"),
    "example names no variable": ("terraform.auto.tfvars.example", "region  ", "area  ", "area is no variable"),
}  # fmt: skip


def test_the_stack_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STACK) == 0
    assert "resources and data sources" in capsys.readouterr().out


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, was, becomes, said = FAULTS[fault]
    stack = shutil.copytree(STACK, tmp_path / "oci")
    text = (stack / file).read_text()
    assert was in text, "the fault has to be planted"
    (stack / file).write_text(text.replace(was, becomes, 1))
    assert main(stack) == 1
    assert said in capsys.readouterr().out
