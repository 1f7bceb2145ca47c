"""A simulated oVirt engine over a REAL ovirt-imageio daemon and REAL qemu: see README.md for what is which."""

from __future__ import annotations

from lab.ovirt.lab import OvirtLab

__all__ = ["OvirtLab"]
