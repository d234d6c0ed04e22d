"""The public way in: declare a federation, fit it, look at what came out."""

from hansa.api.compare import compare
from hansa.api.federation import Federation
from hansa.api.loop import Progress

__all__ = ["Federation", "Progress", "compare"]
