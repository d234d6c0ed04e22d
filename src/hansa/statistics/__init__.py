"""Statistics over the rows of all clients, through any secure sum: nobody's rows leave them.

    hansa.statistics.mean(clients, columns=["age"], secure_sum="sealed")["age"]
    print(hansa.statistics.describe(clients, secure_sum=hansa.Sealed()))

Each client turns its rows into short integers, a secure sum adds them, and the result comes from the total
alone. What it is made of is exact, so that results do not depend on who holds which row, nor on how sums come
about. Clients are what `hansa.Federation` takes, all in this process. Features are float32, or integers up to
2^24; missing values (NaN) do not count.

Leaks:
    Statistics are not private by themselves: they are exact, and a count of 1, a smallest value or the
    difference of two statistics can tell of one row. A secure sum hides who contributed what, no more. With
    ``privacy=hansa.privacy.Noise(epsilon=...)`` single rows are protected: see `hansa.statistics.released`.
"""

from hansa.statistics.buckets import Histogram, histogram
from hansa.statistics.classes import ClassCounts, class_counts
from hansa.statistics.description import Description, describe
from hansa.statistics.moments import Counts, Numbers, count, deviation, mean, total, variance
from hansa.statistics.order import Quantiles, Range, minimum_maximum, quantiles
from hansa.statistics.released import Released
from hansa.statistics.vocabulary import TextCounts, vocabulary

__all__ = [
    "ClassCounts",
    "Counts",
    "Description",
    "Histogram",
    "Numbers",
    "Quantiles",
    "Range",
    "Released",
    "TextCounts",
    "class_counts",
    "count",
    "describe",
    "deviation",
    "histogram",
    "mean",
    "minimum_maximum",
    "quantiles",
    "total",
    "variance",
    "vocabulary",
]
