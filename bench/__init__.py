"""Benchmarks: ratios against a named rival, in one run, on the same machine.

Rule of the package: every module with a function ``rows()`` is a part. It yields
a :class:`~bench.table.Row` for each thing it has measured, and each row says for
itself whether it met its bar. No figure is compared with one of another run.
"""
