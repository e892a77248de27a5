"""Submissions under random kills and faults: ``make chaos``.

Several APIs and pollers, a PostgreSQL and a Galaxy, all real, with a proxy in
between that loses, delays and refuses; clients that repeat what was not answered,
some of them with batches; a receiver of events that fails at times; and somebody who
kills. At the end a judge who believes nobody of ours asks Galaxy
what it ran, and compares.

Rule of the package: :mod:`.judge`, :mod:`.clients` and :mod:`.events` import nothing
of ours. Each wish is marked with a label among its parameters, which Galaxy shows of
each run: so what ran is found without our ids, names or tables.
"""
