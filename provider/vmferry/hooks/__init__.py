# SPDX-License-Identifier: Apache-2.0
"""Hooks: turn Airflow's connections into the plain settings that platforms and hosts take."""
