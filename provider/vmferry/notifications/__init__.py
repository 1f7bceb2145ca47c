# SPDX-License-Identifier: Apache-2.0
"""Telling people, by mail or by a web hook."""
