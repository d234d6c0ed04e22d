"""Noise of whole numbers for differential privacy: exact, from random bytes that nobody can predict.

A law (`law`) is drawn from by rejection (`rejection`) from a staircase above its density (`strips`). Floating
point decides where its error cannot matter; brackets of arbitrary precision (`exact`, `bessel`) the rest.

Assumes:
    Beside what `source` does: NumPy's ``exp`` is within ``2**-43``, relatively; `decimal` rounds correctly.
    Running time may tell of the few values left to exact arithmetic, fewer than one in ``2**38``; tables are
    read at places that depend on the values, since nothing here runs in constant time (`hansa.crypto`).
"""

from hansa.privacy.noise.gaussian import rounded_gaussian as rounded_gaussian
from hansa.privacy.noise.laplace import discrete_laplace as discrete_laplace
from hansa.privacy.noise.response import randomised_response as randomised_response
from hansa.privacy.noise.skellam import skellam as skellam
from hansa.privacy.noise.source import Source as Source
from hansa.privacy.noise.source import derived as derived
from hansa.privacy.noise.source import system_source as system_source
