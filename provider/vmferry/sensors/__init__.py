# SPDX-License-Identifier: Apache-2.0
"""Sensors: wait until the vault holds something."""
