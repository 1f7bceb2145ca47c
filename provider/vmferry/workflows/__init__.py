# SPDX-License-Identifier: Apache-2.0
"""DAGs as functions, called by rendered files and those in dags/. Parsing them touches no file, site or vault."""
