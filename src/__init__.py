"""Runs Galaxy workflows on request and tells the truth about how they went."""
