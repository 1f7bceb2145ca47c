# SPDX-License-Identifier: Apache-2.0
"""What a worker does when it first boots: it takes the SSH host key that we ask for, and installs what jobs call."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from vmferry.platforms.oci.sdk import make_key_pair

CA_FILE = "/var/lib/vmferry/ca.pem"
"""Where a worker has the authority that we were given."""
_PREPARE = "/var/lib/vmferry/prepare.sh"
_SCRIPT = """#!/bin/sh
# Installs what vmferry's jobs call, unless the image has it.
set -eu
wanted="qemu-img qemu-nbd e2fsck sgdisk"
missing=""
for name in $wanted; do
  command -v "$name" >/dev/null || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -q -y install --no-install-recommends qemu-utils e2fsprogs xfsprogs btrfs-progs dosfstools ntfs-3g gdisk lvm2
else
  dnf -q -y install qemu-img e2fsprogs xfsprogs dosfstools gdisk lvm2
fi
"""


@dataclass(frozen=True, slots=True)
class HostKey:
    """An SSH host key, made for one worker."""

    public: str
    """``ssh-ed25519 AAAA…``."""
    private: str = field(repr=False)


def make_host_key() -> HostKey:
    """Make a new one."""
    private, public = make_key_pair()
    return HostKey(public, private)


def user_data(key: HostKey, ca: str | None = None) -> str:
    """Write the user data, as the metadata of an instance wants it. JSON is YAML.

    `ca` is an authority that the worker needs to trust OCI, where a proxy has one of its own.
    """
    files = [{"path": _PREPARE, "permissions": "0755", "content": _SCRIPT}]
    if ca:
        files.append({"path": CA_FILE, "permissions": "0644", "content": ca})
    config = {
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": key.private, "ed25519_public": key.public},
        "write_files": files,
        "runcmd": [[_PREPARE]],
    }
    return base64.b64encode(f"#cloud-config\n{json.dumps(config)}\n".encode()).decode()
