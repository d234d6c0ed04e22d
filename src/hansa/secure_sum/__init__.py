"""Stage: how the sum of the clients' updates comes about, and what the server sees of them.

To add one: write a file like `plain.py`, import it here, and add it to ``SECURE_SUMS`` and to the
contract tests.
"""

from typing import Any

from hansa.errors import ConfigurationError, UnknownNameError
from hansa.secure_sum.interface import Keys, Party, Planned, Refused, Run, SecureSum, Shape
from hansa.secure_sum.masking.masking import Masking
from hansa.secure_sum.plain import Plain
from hansa.secure_sum.sealed.sealed import NormBound, Sealed

SECURE_SUMS: dict[str, type[SecureSum]] = {"plain": Plain, "sealed": Sealed, "masking": Masking}

__all__ = [
    "SECURE_SUMS",
    "Keys",
    "Masking",
    "NormBound",
    "Party",
    "Plain",
    "Planned",
    "Refused",
    "Run",
    "Sealed",
    "SecureSum",
    "Shape",
    "as_secure_sum",
]


def as_secure_sum(value: Any) -> SecureSum:
    """Return a secure sum for what the user wrote: its name, or one.

    Raises:
        UnknownNameError: If there is none of that name.
        ConfigurationError: If it is neither.
    """
    if isinstance(value, str):
        if value not in SECURE_SUMS:
            raise UnknownNameError("secure sum", value, SECURE_SUMS)
        return SECURE_SUMS[value]()
    if not isinstance(value, SecureSum):
        raise ConfigurationError(
            f"secure_sum is {value!r}; expected one such as hansa.Sealed(), or one of the names "
            f"{', '.join(map(repr, SECURE_SUMS))}."
        )
    return value
