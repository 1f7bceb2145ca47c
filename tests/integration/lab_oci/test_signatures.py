"""Who may call: API keys, instances, functions; and who may not."""

from __future__ import annotations

import email.utils
import time
from pathlib import Path
from typing import Any

import oci
import pytest
from lab.oci.lab import OciLab
from lab.oci.principals import load_key
from tests.integration.lab_oci.clients import Clients

pytestmark = pytest.mark.root


def _refusal(call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as failure:
        call(*arguments)
    assert failure.value.request_id
    return failure.value.status, failure.value.code


def test_another_key_is_refused(lab: OciLab, tmp_path: Path) -> None:
    load_key(tmp_path / "other.pem")
    stranger = Clients(lab, {**lab.config, "key_file": str(tmp_path / "other.pem")})
    assert _refusal(stranger.identity.list_availability_domains, lab.compartment) == (401, "NotAuthenticated")


@pytest.mark.parametrize("field", ["user", "tenancy", "fingerprint"])
def test_another_key_id_is_refused(lab: OciLab, field: str) -> None:
    value = lab.config[field]
    changed = value[:-1] + ("a" if value[-1] != "a" else "b")
    stranger = Clients(lab, {**lab.config, field: changed})
    assert _refusal(stranger.identity.list_availability_domains, lab.compartment) == (401, "NotAuthenticated")


class _Tampering:
    """Signs as it should, then changes what was signed."""

    def __init__(self, lab: OciLab, **headers: str) -> None:
        config = lab.config
        self._signer = oci.signer.Signer(config["tenancy"], config["user"], config["fingerprint"], config["key_file"])
        self._headers = headers
        self.body: bytes | None = None

    def __call__(self, request: Any, **more: Any) -> Any:
        if "date" in self._headers:
            request.headers["date"] = self._headers["date"]
        signed = self._signer(request, **more)
        if self.body:
            signed.body = self.body
        return signed


@pytest.mark.parametrize("skew_s", [-400, 400])
def test_wrong_clock_is_refused(lab: OciLab, skew_s: int) -> None:
    signer = _Tampering(lab, date=email.utils.formatdate(time.time() + skew_s, usegmt=True))
    late = Clients(lab, signer=signer)
    assert _refusal(late.identity.list_availability_domains, lab.compartment) == (401, "NotAuthenticated")


def test_body_that_changed_on_the_way_is_refused(lab: OciLab) -> None:
    signer = _Tampering(lab)
    details = oci.core.models.CreateVolumeDetails(
        compartment_id=lab.compartment, availability_domain=lab.domains[0], size_in_gbs=50
    )
    blocks = Clients(lab, signer=signer).blocks
    body = blocks.base_client.sanitize_for_serialization(details)
    import json

    signer.body = json.dumps(body).encode().replace(b"50", b"60")
    assert len(signer.body) == len(json.dumps(body))
    assert _refusal(blocks.create_volume, details) == (401, "NotAuthenticated")


def test_instance_reads_objects_and_no_more(lab: OciLab, worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", lab.metadata_url(worker))
    signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner(
        federation_endpoint=lab.federation_endpoint, federation_client_cert_bundle_verify=str(lab.ca)
    )
    lab.put_object(lab.create_bucket("for-workers", events=False), "disk", b"abc")
    there = Clients(lab, {}, signer=signer)
    assert there.objects.get_object(lab.namespace, "for-workers", "disk").data.content == b"abc"
    assert _refusal(there.objects.put_object, lab.namespace, "for-workers", "new", b"x")[0] == 404
    assert _refusal(there.compute.terminate_instance, worker) == (404, "NotAuthorizedOrNotFound")


def test_function_reads_its_secret(lab: OciLab, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = lab.add_secret("airflow", "p4ssw0rd")
    for name, value in lab.resource_principal().items():
        monkeypatch.setenv(name, value)
    there = Clients(lab, {}, signer=oci.auth.signers.get_resource_principals_signer())
    assert there.secrets.get_secret_bundle(secret).data.secret_bundle_content.content == "cDRzc3cwcmQ="
    assert there.secrets.get_secret_bundle_by_name("airflow", "any-vault").data.secret_id == secret
    assert _refusal(there.blocks.list_volumes)[0] == 404


def test_token_of_another_site_is_refused(lab: OciLab, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = lab.resource_principal()
    head, body, signature = environment["OCI_RESOURCE_PRINCIPAL_RPST"].split(".")
    forged = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    environment["OCI_RESOURCE_PRINCIPAL_RPST"] = f"{head}.{body}.{forged}"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    there = Clients(lab, {}, signer=oci.auth.signers.get_resource_principals_signer())
    assert _refusal(there.secrets.get_secret_bundle, "any") == (401, "NotAuthenticated")
