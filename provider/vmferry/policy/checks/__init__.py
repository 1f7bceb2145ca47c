# SPDX-License-Identifier: Apache-2.0
"""Checks of a whole policy, by subject: sites and limits, VMs, migrations and other transfers."""
