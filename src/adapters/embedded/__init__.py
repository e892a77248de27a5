"""A PostgreSQL and a Galaxy of our own, started and stopped by us."""
