"""Stores of files: a folder of this machine, and servers that speak S3."""
