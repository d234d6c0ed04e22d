"""Every error that Hansa raises, in one tree.

    HansaError
    ├── ConfigurationError (ValueError)   a declaration that cannot work; raised when it is built
    │   └── UnknownNameError              a name or key that does not exist, with the nearest that does
    ├── MissingExtraError (ImportError)   an optional package is needed; says what to install
    ├── DataError (ValueError)            a party's data is empty, malformed or unlike the others'
    │   ├── CertificateRejected           a client's certificate does not show what it is to show
    │   └── DatasetError                  a packaged or fetched dataset is missing, changed or unreachable
    ├── BudgetError                       a release would cost more than a privacy budget has left
    ├── UpdateError (ValueError)          updates that cannot be aggregated
    ├── RoundError                        a round that could not be finished; the model is as before it
    └── RunError                          a run folder that cannot be written, read or resumed
        └── LogError                      the run's log is torn or changed; says where

A message says what happened, what was expected and how to mend it, with the values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HansaError(Exception):
    """The root of the tree: catch it to catch everything that Hansa raises on purpose."""


class ConfigurationError(HansaError, ValueError):
    """A declaration cannot work. Raised when the federation is built, before anything runs."""


class UnknownNameError(ConfigurationError):
    """A name or key that does not exist, told with the nearest ones that do."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Build the message.

        Args:
            kind: What the name was meant to name, for example ``"key in [algorithm]"``.
            name: The name that was given.
            known: The names that exist.
        """
        names = sorted(str(k) for k in known)
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind}: {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
        self.name = name
        self.known = tuple(names)


class MissingExtraError(HansaError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        """Build the message.

        Args:
            what: What needs the package, for example ``"reading Parquet files"``.
            package: The importable package that is missing.
            extra: The extra of Hansa that brings it.
        """
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed. "
            f"In a clone of Hansa, install it with: pip install '.[{extra}]'"
        )


class DataError(HansaError, ValueError):
    """A party's data is empty, malformed, or unlike that of the others."""


class CertificateRejected(DataError):  # noqa: N818 - what happened to the certificate
    """A certificate about a client's data does not show what it is to show.

    Attributes:
        check: Which check failed: ``decoding``, ``owner``, ``terms``, ``records``, ``root``, ``signature``
            or ``proof``.
        why: What was expected.
    """

    def __init__(self, check: str, why: str, client: str = "") -> None:
        """Build the message, with the client's name where that is known."""
        whose = f"client {client!r}: " if client else ""
        super().__init__(f"{whose}certificate rejected by the check {check!r}: {why}")
        self.check, self.why = check, why


class DatasetError(DataError):
    """A dataset that Hansa ships or fetches is missing, changed or unreachable."""


class BudgetError(HansaError):
    """A release would cost more than is left of a privacy budget. Nothing was released, nor summed for it."""


class UpdateError(HansaError, ValueError):
    """Client updates that cannot be aggregated."""


class RoundError(HansaError):
    """A round could not be finished. The global model is as it was before the round."""


class VoidRoundError(RoundError):
    """A secure sum that cannot be used. Training goes on with the next round.

    Nothing of it is known where too few were left; where answers were false, whoever gave them may know it.
    """


class RunError(HansaError):
    """A run folder cannot be written, read or resumed."""


class LogError(RunError):
    """The run's log is torn or changed. The message says at which entry."""
