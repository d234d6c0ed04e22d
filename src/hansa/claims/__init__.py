"""Claims about local data: a client commits to its rows once, and proves what they are without showing one.

    declared (Claims) ── columns ──> agreed (Terms) ── rows ──> Certificate ──> verify_certificate

A certificate shows that there are so many records or more, that every feature is within its range, that every
label is one of the classes, and that each class has so many records or more. Its root stands for the data
set: two runs whose rosters have the same root for a client are about the same data set.

Assumes:
    SHA-256 and SHAKE-256 as random oracles (`hansa.zk`), Ed25519. Unreviewed by outsiders.

Leaks:
    How many slots there are for records: the next power of two, or with an exact count the number itself.
    Nothing else of the data: certificates are zero-knowledge.

Not shown:
    That the data are true, or that anyone ever measured them. That records are distinct: one record may be
    there a hundred times. That training uses them: a client may certify one data set and train on another.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hansa.claims.claims import Claims, Range
from hansa.claims.terms import Column, Terms
from hansa.errors import CertificateRejected, MissingExtraError

if TYPE_CHECKING:
    from hansa.claims.certificate import Certificate, certify, same_data, verify_certificate

__all__ = [
    "Certificate",
    "CertificateRejected",
    "Claims",
    "Column",
    "Range",
    "Terms",
    "certify",
    "same_data",
    "verify_certificate",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hansa.claims' has no attribute {name!r}")
    try:  # what computes is imported when it is first used: a declaration needs no extra
        certificate = importlib.import_module("hansa.claims.certificate")
    except ImportError as error:
        raise MissingExtraError("a certificate about data", error.name or "numba", "secure") from error
    return getattr(certificate, name)
