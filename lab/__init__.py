"""Servers and disks on loopback for the demo and the tests: real ones, and simulators that say so."""
