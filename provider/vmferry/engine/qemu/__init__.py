# SPDX-License-Identifier: Apache-2.0
"""QEMU's tools as typed functions: find them, ask and make images, serve one image to ourselves over NBD."""
