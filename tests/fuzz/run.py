"""Run targets of `fuzz_targets` with atheris: ``python tests/fuzz/run.py <target> <seconds>``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def compiled() -> list[str]:
    """Return the modules with parts compiled by Numba: what they do cannot guide the search."""
    root = Path(__file__).resolve().parents[2] / "src"
    files = [path for path in root.rglob("*.py") if "from numba import" in path.read_text()]
    return [".".join(path.relative_to(root).with_suffix("").parts) for path in files]


def main(name: str, seconds: str) -> None:
    """Mutate the seeds of a target for so many seconds; an error ends it with the bytes that caused it."""
    try:
        import atheris
    except ImportError:
        print("Fuzzing needs atheris, which is not installed (it has wheels for Linux): pip install atheris")
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    with atheris.instrument_imports(include=["hansa", "json"], exclude=compiled()):
        import fuzz_targets
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(fuzz_targets.seeds(name)):
            (Path(corpus) / str(number)).write_bytes(seed)
            fuzz_targets.TARGETS[name](seed)  # also compiles what is compiled
        limits = ["-timeout=20", "-rss_limit_mb=4096", "-max_len=100000", "-print_final_stats=1"]
        limits.append("-artifact_prefix=./fuzz-")  # where the bytes of a failure are left
        atheris.Setup(
            [sys.argv[0], f"-max_total_time={seconds}", *limits, corpus], fuzz_targets.TARGETS[name]
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
