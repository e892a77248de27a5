"""Runs Galaxy workflows on request, exactly once each, and reports their true state."""
