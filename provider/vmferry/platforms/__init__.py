# SPDX-License-Identifier: Apache-2.0
"""The platforms: a driver each. It freezes a VM and says where its bytes are, or makes a disk and says where to write.

Read `contract` first: the three promises a driver keeps. `inventory`, `points` and `orders` hold the values it takes
and gives, `runs` who owns what, `waiting` the one waiter, `errors` what can go wrong, `plain` turns values into JSON. A
driver calls its platform's SDK; it never imports Airflow, the vault, or another driver.
"""
