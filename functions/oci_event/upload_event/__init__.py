# SPDX-License-Identifier: Apache-2.0
"""From a bucket's event to a run in Airflow: event, object, secret, run; one file each."""
