"""The client commands: all that they know comes from the HTTP API.

Rule of the folder: they start at once, so they import neither the domain nor
anything that serves, polls or speaks to Galaxy; a test says so.
"""
