"""The service over HTTP: parse, call one use case, answer with a status and JSON.

Rule of the package: it holds no rule of its own. What may be done, and what
becomes of it, is the domain's; what is written here is how that is spelt on the
wire. The core is synchronous, so every handler that touches it runs in a thread.
"""
