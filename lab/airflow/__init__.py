"""A real Airflow on loopback over two simulated sites, for the demo and for tests."""
