# SPDX-License-Identifier: Apache-2.0
"""Buttons on a task: to the VM in its platform's own console, and to its backups."""
