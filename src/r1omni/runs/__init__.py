"""A run's folder: its identity, its record, and the one way files are written."""
