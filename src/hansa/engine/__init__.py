"""Engines answer Asks. They move messages and know nothing of learning.

To add one: write a file like `local.py`, import it here, and add it to ``ENGINES`` and to the contract tests.
"""

from hansa.engine.engine import Declared, Engine
from hansa.engine.local import Local, LocalEngine
from hansa.engine.ray_cluster import RayCluster, RayEngine
from hansa.engine.vector import Vector, VectorEngine

ENGINES: dict[str, type[Declared]] = {"local": Local, "vector": Vector, "ray": RayCluster}

__all__ = [
    "ENGINES",
    "Declared",
    "Engine",
    "Local",
    "LocalEngine",
    "RayCluster",
    "RayEngine",
    "Vector",
    "VectorEngine",
]
