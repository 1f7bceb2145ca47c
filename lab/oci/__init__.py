"""A simulated Oracle Cloud for the unmodified `oci` SDK, over real sshd and real bytes: see README.md and lab.py.

Nothing is imported here: an instance's first process comes by, and has to be quick.
"""
