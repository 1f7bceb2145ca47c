# SPDX-License-Identifier: Apache-2.0
"""What is on a disk: partitions, logical volumes, file systems, and whether they are sound."""
