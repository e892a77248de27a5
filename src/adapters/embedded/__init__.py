"""A PostgreSQL and a Galaxy that this program installs, starts and stops."""
