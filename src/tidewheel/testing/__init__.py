"""Contract suites: one for each port; every backend passes the suite of its port."""
