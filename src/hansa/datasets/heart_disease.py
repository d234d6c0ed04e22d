"""UCI Heart Disease: 920 patients of four hospitals, shipped with Hansa."""

from __future__ import annotations

from pathlib import Path

from hansa.datasets.shipped import shipped_files

HOSPITALS = ("cleveland", "hungary", "switzerland", "va")


def heart_disease() -> dict[str, Path]:
    """Return one CSV file per hospital, by name.

    The classic cross-silo set of medicine: the four parties are real, small, and unlike each
    other (share of patients with the disease, missing measurements).

    Each file has a header and the columns ``age``, ``sex`` (1 male), ``cp`` (1 to 4),
    ``trestbps`` (mm Hg), ``chol`` (mg/dl), ``fbs`` (1 above 120 mg/dl), ``restecg`` (0 to 2),
    ``thalach`` (beats per minute), ``exang`` (1 yes), ``oldpeak`` (mm), ``slope`` (1 to 3),
    ``ca`` (0 to 3), ``thal`` (3, 6, 7) and the label ``num`` (0 no disease, 1 to 4 its degree).
    An empty cell is missing. A ``chol`` of 0 is what the hospitals wrote (all of Switzerland):
    it stands for missing there, but is kept as a value, as published work has it.

    Returns:
        Paths by hospital: ``"cleveland"`` (303 rows), ``"hungary"`` (294), ``"switzerland"``
        (123) and ``"va"`` (200).

    Raises:
        DatasetError: The files are missing from the installation.

    Example:
        >>> sorted(heart_disease())
        ['cleveland', 'hungary', 'switzerland', 'va']

    Source:
        A. Janosi, W. Steinbrunn, M. Pfisterer, R. Detrano, 1989, UCI Machine Learning Repository. CC BY 4.0.
    """
    return shipped_files("heart_disease", HOSPITALS)
