"""A CPU device for each worker, whose programs stay in the thread that calls them.

On the common device XLA spreads a program's operations over the threads of one pool, whatever program they
are of: with several workers, each one's weights wander from core to core. A device of its own has a pool of
one thread. (Measured: `docs/adr/0007-the-vector-engine.md`.)
"""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import jax

_THREADS = "PJRT_NPROC"  # how many threads a new device's pool has
_lock = threading.Lock()


def device_of(worker: int) -> Any:
    """Return the device on which a worker's programs run, or None for the one that JAX chooses.

    None where that is not the CPU, or where this version of JAX cannot make another one.
    """
    if not on_cpu():
        return None
    with _lock:
        return _own(worker)


def on_cpu() -> bool:
    """Whether JAX runs on the CPU."""
    return jax.default_backend() == "cpu"


@functools.cache
def _own(worker: int) -> Any:  # noqa: ARG001 - another one for each number
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        from jaxlib import xla_client

        return xla_client.make_cpu_client(asynchronous=False).local_devices()[0]
    except (ImportError, AttributeError, TypeError):  # the function is not among those that JAX promises
        return None
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
