"""Attacks on the service as it is run: ``make attack``.

Each test is one attack on real processes and a real PostgreSQL. It measures what the
attack costs others (memory, time, places), and holds where every measurement is within
its bound. What is right or wrong whatever the machine does is tested in tests/unit and
tests/integration, too.
"""
