"""What the vault keeps."""

from __future__ import annotations

import base64
from typing import Any

from lab.oci.router import Reply, Request, not_found, route
from lab.oci.site import Site

BUNDLES = "/20190301/secretbundles"


@route("GET", BUNDLES + "/{}", "secrets.read")
def get_secret_bundle(site: Site, request: Request, id: str) -> Reply:
    """Give out a secret."""
    found = site.settings["secrets"].get(id)
    if found is None:
        raise not_found()
    return Reply(_bundle(id, found), headers={"etag": id[-12:]})


@route("POST", BUNDLES + "/actions/getByName", "secrets.read")
def get_secret_by_name(site: Site, request: Request) -> Reply:
    """Give out a secret by its name."""
    request.need("vaultId")
    for id, found in site.settings["secrets"].items():
        if found["name"] == request.need("secretName"):
            return Reply(_bundle(id, found))
    raise not_found()


def _bundle(id: str, found: dict[str, str]) -> dict[str, Any]:
    content = base64.b64encode(found["content"].encode()).decode()
    return {
        "secretId": id, "versionNumber": 1, "timeCreated": found["time"], "stages": ["CURRENT", "LATEST"],
        "secretBundleContent": {"contentType": "BASE64", "content": content}, "metadata": {},
    }  # fmt: skip
