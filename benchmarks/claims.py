"""What a certificate about a client's data costs: seconds of one thread to make and to check it, and bytes.

    python benchmarks/claims.py           # tables of hospitals' size, pictures of 28 by 28; a minute
    python benchmarks/claims.py --save    # keeps benchmarks/results/claims.json

Rows are random; minima of records and of classes, and a range for every feature, are claimed. What counts is
the number of slots, the next power of two, times the bits of a row. The best of some turns, in processor
seconds. Wanted for 300 rows of 13 columns of 16 bits: a second to make one, less to check it. The last line
printed is one JSON object.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import report

from hansa.claims import Claims, certify, verify_certificate
from hansa.claims.records import records_of
from hansa.claims.statement import DataStatement
from hansa.crypto.signature import SigningKey
from hansa.types import Examples

CASES = {  # rows, columns, bits of a value, classes
    "hospital": (300, 13, 16, 2),
    "hospital of 10,000": (10_000, 13, 16, 2),
    "digits, 60": (60, 784, 8, 10),
    "digits, 600": (600, 784, 8, 10),
}


def best(work: Callable[[], Any], turns: int) -> tuple[float, Any]:
    """Return the least seconds that some work took, and its result."""
    least, result = float("inf"), None
    for _ in range(turns):
        begun = time.process_time()
        result = work()
        least = min(least, time.process_time() - begun)
    return least, result


def measure(rows: int, columns: int, bits: int, classes: int, *, exact: bool, turns: int) -> dict[str, Any]:
    """Return the figures of one data set."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**bits, (rows, columns)).astype(np.float32)
    data = Examples(x=x, y=np.arange(rows) % classes)
    fewest = dict.fromkeys(range(classes), rows // classes // 2)
    claims = Claims(ranges=(0, 2**bits - 1, 0), records=rows // 2, classes=fewest, exact_count=exact)
    terms, key = claims.terms([f"c{i}" for i in range(columns)]), SigningKey.fresh()
    reading, records = best(lambda: records_of(data, terms), turns)
    making, made = best(lambda: certify(records, terms, name="a", key=key), turns)
    checking, _ = best(lambda: verify_certificate(made, terms=terms, name="a", signing=key.public), turns)
    cells = sum(segment.cells for segment in DataStatement(terms, made.slots).segments)
    return {
        "slots": made.slots,
        "cells": cells,
        "read_s": round(reading, 4),
        "certify_s": round(making, 3),
        "verify_s": round(checking, 4),
        "bytes": len(made.to_bytes()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    measure(20, 2, 4, 2, exact=False, turns=1)  # compiles
    figures = {}
    for name, case in CASES.items():
        for exact in (False, True):
            told = f"{name}, count told" if exact else name
            figures[told] = measure(*case, exact=exact, turns=options.turns)
            print(f"{told:32}  {figures[told]}", flush=True)
    report("claims", figures, save=options.save)


if __name__ == "__main__":
    main()
