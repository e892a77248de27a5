"""Run the benchmarks: ``python -m bench [PART...]``; all parts if none is named.

Exit codes: 0 every row met its bar, 1 one did not or a part broke off, 2 there is
no such part.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bench
from bench.table import Row, save, table


RESULTS = Path(__file__).parent / "results"


def parts() -> dict[str, ModuleType | Exception]:
    """Return the modules that measure something, by name; or why one does not load."""
    found: dict[str, ModuleType | Exception] = {}
    for one in pkgutil.iter_modules(bench.__path__):
        if one.name == "__main__":
            continue
        try:
            module = importlib.import_module(f"bench.{one.name}")
        except Exception as error:  # noqa: BLE001 - the other parts still run
            found[one.name] = error
        else:
            if hasattr(module, "rows"):
                found[one.name] = module
    return found


def measured(name: str, part: ModuleType | Exception) -> Iterator[Row]:
    """Yield a part's rows; one that is not ok, should it break off."""
    try:
        yield from _rows(part)
    except Exception as error:  # noqa: BLE001 - the other parts still run
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        yield Row(f"{name}: broke off", said, None, None, "no error", ok=False)


def _rows(part: ModuleType | Exception) -> Iterator[Row]:
    if isinstance(part, Exception):
        raise part
    rows: Iterator[Row] = part.rows()
    return rows


def main(wanted: list[str]) -> int:
    """Run parts, print their rows as they come and at the end as one table."""
    known = parts()
    if strange := [name for name in wanted if name not in known]:
        print(
            f"There is no part {strange[0]!r}; there are: {', '.join(known)}.",
            file=sys.stderr,
        )
        return 2
    rows: list[Row] = []
    for name in wanted or list(known):
        began = time.monotonic()
        print(f"# {name} ...", file=sys.stderr, flush=True)
        mine = []
        for row in measured(name, known[name]):
            mine.append(row)
            print(table([row], head=False), file=sys.stderr, flush=True)
        print(f"# {name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        save(mine, RESULTS / f"{name}.json")
        rows += mine
    print(table(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
