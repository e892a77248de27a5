"""Thin delivery."""
