"""What four hospitals may publish about their patients: statistics with noise, from one privacy budget.

Whoever reads the results hardly learns whether any one patient was counted. The server adds the noise; sums
are masked, so that it sees sums over all hospitals alone. Needs the extras ``secure`` and ``privacy``
(pip install '.[secure,privacy]' in a clone of Hansa).
"""

from __future__ import annotations

import hansa
from hansa.privacy import Account, Budget, Noise, debias, randomised_response


def main() -> None:
    """Print ages and the share of the ill with noise, what they cost, and a question that is refused."""
    hospitals = {
        name: hansa.data.CSV(path, target="num", positive=">0", missing="keep")
        for name, path in hansa.datasets.heart_disease().items()
    }
    account = Account(budget=Budget(epsilon=1.0, delta=1e-6), neighbours="zero-out")
    noise, masked = Noise(epsilon=0.25), {"secure_sum": "masking", "ledger": account}

    age = hansa.statistics.mean(hospitals, columns="age", bounds=(0, 100), privacy=noise, **masked)
    print(f"mean age {age['age']:.1f} of about {age.count[0]} patients\n  {age.released}")

    quartiles = hansa.statistics.quantiles(hospitals, columns="age", bounds=(0, 100), privacy=noise, **masked)
    print("quartiles of age:", quartiles["age"].round(0).tolist())

    disease = hansa.statistics.class_counts(hospitals, classes=(0, 1), privacy=noise, **masked)
    print(f"about {disease[1]} of {disease[0] + disease[1]} have the disease")
    print(f"spent: epsilon {account.spent().epsilon:.3f} of {account.budget.epsilon:g}")

    try:
        hansa.statistics.mean(
            hospitals, columns="chol", bounds=(0, 600), privacy=Noise(epsilon=0.5), **masked
        )
    except hansa.errors.BudgetError as error:
        print("refused:", error)

    # Where not even the own hospital is trusted: each patient's label is noisy before anybody sees it.
    told = [0] * 700 + [1] * 300
    noisy = randomised_response(told, classes=2, epsilon=1.0)
    counts = [int((noisy == label).sum()) for label in (0, 1)]
    print(
        "randomised labels:",
        counts,
        "and what they say of the true ones:",
        debias(counts, epsilon=1.0).round(),
    )


if __name__ == "__main__":
    main()
