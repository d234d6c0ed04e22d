"""Look at the data of four hospitals before training: none shows its rows, nor its own numbers.

Sums are sealed, so that the server sees the sums over all hospitals alone. Needs the extra ``secure``
(pip install '.[secure]' in a clone of Hansa).
"""

from __future__ import annotations

import hansa


def main() -> None:
    """Print a table of all columns, ages in decades, and how many patients have the disease."""
    hospitals = {
        name: hansa.data.CSV(path, target="num", positive=">0", missing="keep")
        for name, path in hansa.datasets.heart_disease().items()
    }
    sealed = hansa.Sealed()
    print(hansa.statistics.describe(hospitals, secure_sum=sealed))

    ages = hansa.statistics.histogram(hospitals, {"age": range(20, 90, 10)}, secure_sum=sealed)
    print("\npatients by decade:", dict(zip(range(20, 80, 10), ages["age"].tolist(), strict=True)))
    print("median age, from these:", ages.quantiles("age", 0.5).round(1).tolist())

    disease = hansa.statistics.class_counts(hospitals, classes=(0, 1), secure_sum=sealed)
    print(f"{disease[1]} of {disease[0] + disease[1]} have the disease")


if __name__ == "__main__":
    main()
