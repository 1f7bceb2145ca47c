# SPDX-License-Identifier: Apache-2.0
"""The parts of the SDK and of what comes with it that more than one module uses."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_key_pair() -> tuple[str, str]:
    """Make an SSH key: the private half, the public half."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def public_half(private_file: str) -> str:
    """Give the public half of a private key's file."""
    from pathlib import Path

    from cryptography.exceptions import UnsupportedAlgorithm

    from vmferry.engine.errors import BadInput

    fix = "give ssh_key_file the path of a private key without a passphrase, readable by the user that runs tasks"
    try:
        data = Path(private_file).read_bytes()
    except OSError as failure:
        raise BadInput(f"{private_file}: {failure.strerror}", fix=fix) from failure
    try:
        key = (
            serialization.load_ssh_private_key(data, None)
            if b"OPENSSH PRIVATE KEY" in data
            else serialization.load_pem_private_key(data, None)
        )
        found = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    except (ValueError, TypeError, UnsupportedAlgorithm) as failure:
        raise BadInput(f"{private_file} is no private key that SSH can use", fix=fix) from failure
    return found.decode()
