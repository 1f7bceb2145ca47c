"""A real OpenStack 2026.1 on one machine: ``python -m lab.openstack up``. No simulator: see README.md."""
