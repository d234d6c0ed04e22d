"""Noise of whole numbers for differential privacy: exact, from random bytes that nobody can predict."""

from hansa.privacy.noise.gaussian import rounded_gaussian as rounded_gaussian
from hansa.privacy.noise.source import Source as Source
from hansa.privacy.noise.source import derived as derived
from hansa.privacy.noise.source import system_source as system_source
