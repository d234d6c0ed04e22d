"""Statlog German credit: 1,000 loans split by what they were for, shipped with Hansa."""

from __future__ import annotations

from pathlib import Path

from hansa.datasets.shipped import shipped_files

PURPOSES = ("business", "car_new", "car_used", "education", "furniture", "other", "radio_tv")


def german_credit() -> dict[str, Path]:
    """Return one CSV file per purpose of the loan, by name, as if each were a lender of its own.

    The split by purpose is Hansa's: a natural one, in which amounts, terms and default rates
    differ from party to party. The four purposes with fewer than 50 loans (domestic appliances,
    repairs, retraining, others) are together in ``"other"``.

    Each file has a header, the 20 attributes of the source (categories as its codes, ``A11`` to
    ``A202``) and the label ``default``: 1 for a bad loan, 0 for a good one. No cell is missing.

    Returns:
        Paths by purpose: ``"business"`` (97 rows), ``"car_new"`` (234), ``"car_used"`` (103),
        ``"education"`` (50), ``"furniture"`` (181), ``"other"`` (55) and ``"radio_tv"`` (280).

    Raises:
        DatasetError: The files are missing from the installation.

    Example:
        >>> len(german_credit())
        7

    Source:
        H. Hofmann, 1994, Statlog (German Credit Data), UCI Machine Learning Repository. CC BY 4.0.
    """
    return shipped_files("german_credit", PURPOSES)
