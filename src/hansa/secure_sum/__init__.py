"""Stage: how the sum of the clients' updates comes about, and what the server sees of them.

To add one: write a file like `plain.py`, import it here, and add it to ``SECURE_SUMS`` and to the
contract tests.
"""

from hansa.secure_sum.interface import Keys, Party, Planned, Refused, Run, SecureSum, Shape
from hansa.secure_sum.masking.masking import Masking
from hansa.secure_sum.plain import Plain
from hansa.secure_sum.sealed.sealed import Sealed

SECURE_SUMS: dict[str, type[SecureSum]] = {"plain": Plain, "sealed": Sealed, "masking": Masking}

__all__ = [
    "SECURE_SUMS",
    "Keys",
    "Masking",
    "Party",
    "Plain",
    "Planned",
    "Refused",
    "Run",
    "Sealed",
    "SecureSum",
    "Shape",
]
