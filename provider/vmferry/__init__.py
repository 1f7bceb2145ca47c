# SPDX-License-Identifier: Apache-2.0
"""vmferry: backs up, restores, migrates and imports the disks of virtual machines."""

__version__ = "0.1.0"
