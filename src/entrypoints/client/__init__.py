"""The client commands: everything they show comes from the HTTP API.

Rule of the folder: they start at once, so they import neither the domain nor
anything that serves, polls or calls Galaxy; a contract and a test hold them to it.
"""
