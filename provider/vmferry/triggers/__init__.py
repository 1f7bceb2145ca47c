# SPDX-License-Identifier: Apache-2.0
"""Triggers: wait for hours without holding a worker."""
