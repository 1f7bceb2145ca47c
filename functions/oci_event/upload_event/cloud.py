# SPDX-License-Identifier: Apache-2.0
"""What the function asks of OCI: an object's etag, and Airflow's password. It is itself by its resource principal."""

from __future__ import annotations

import base64
from typing import Any

import oci

from upload_event.errors import CloudAway, FunctionError, NoAccess
from upload_event.event import Upload
from upload_event.settings import Settings

_TIMEOUT = (5, 10)
_READ_POLICY = "allow the function's dynamic group to read objects in the bucket (docs/oci.md)"


class Cloud:
    """OCI's services, as the function's own principal."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signer = oci.auth.signers.get_resource_principals_signer()

    def etag_of(self, upload: Upload) -> str | None:
        """Give the object's etag as it is now; None when it is gone."""
        client = self._client(oci.object_storage.ObjectStorageClient, self._settings.object_storage_endpoint)
        try:
            return str(client.head_object(upload.namespace, upload.bucket, upload.name).headers["etag"])
        except oci.exceptions.ServiceError as failure:
            if failure.status != 404:
                raise _explained(failure, f"bucket {upload.bucket!r}", _READ_POLICY) from None
        except oci.exceptions.RequestException as failure:
            raise _away(failure) from None
        self._require_access(client, upload)
        return None

    def airflow_password(self) -> str:
        """Read it from Vault."""
        client = self._client(oci.secrets.SecretsClient, self._settings.secrets_endpoint)
        ocid = self._settings.secret_ocid
        try:
            content = client.get_secret_bundle(ocid).data.secret_bundle_content.content
        except oci.exceptions.ServiceError as failure:
            fix = "allow the function's dynamic group to read this secret (docs/oci.md)"
            raise _explained(failure, f"secret {ocid}", fix) from None
        except oci.exceptions.RequestException as failure:
            raise _away(failure) from None
        return base64.b64decode(content).decode().strip()

    def _require_access(self, client: Any, upload: Upload) -> None:
        """404 is also the answer to those who may not look; one who may is shown the list."""
        try:
            client.list_objects(upload.namespace, upload.bucket, prefix=upload.name, limit=1)
        except oci.exceptions.ServiceError as failure:
            raise _explained(failure, f"bucket {upload.bucket!r}", _READ_POLICY) from None
        except oci.exceptions.RequestException as failure:
            raise _away(failure) from None

    def _client(self, kind: Any, endpoint: str | None) -> Any:
        more = {"service_endpoint": endpoint} if endpoint else {}
        return kind({}, signer=self._signer, timeout=_TIMEOUT, retry_strategy=oci.retry.NoneRetryStrategy(), **more)


def _away(failure: Exception) -> CloudAway:
    return CloudAway(f"no answer from OCI: {type(failure).__name__}", fix="the same call again may help")


def _explained(failure: oci.exceptions.ServiceError, what: str, fix: str) -> FunctionError:
    where = f"{what}: OCI answers {failure.status} {failure.code} (request {failure.request_id})"
    if failure.status in (401, 403, 404):
        return NoAccess(where, fix=fix)
    return CloudAway(where, fix="the same call again may help")
