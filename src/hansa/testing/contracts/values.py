"""Checks of values that several contracts share."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hansa.tree import Layout


def check_weights(where: str, weights: Any, layout: Layout) -> None:
    """Check that a value is a finite float32 vector of the layout's size."""
    assert isinstance(weights, np.ndarray), (
        f"{where} returned {type(weights).__name__}, expected a NumPy array"
    )
    assert weights.dtype == np.float32, f"{where} returned {weights.dtype}, expected float32"
    assert weights.shape == (layout.size,), (
        f"{where} returned shape {weights.shape}, expected ({layout.size},)"
    )
    assert np.isfinite(weights).all(), f"{where} returned weights that are not finite"


def check_description(described: dict[str, Any]) -> None:
    """Check that what `describe` returned is plain JSON and names its kind."""
    assert isinstance(described.get("kind"), str), f"describe() has no kind: {described}"
    assert json.loads(json.dumps(described)) == described, f"describe() is not plain JSON: {described}"
