"""Real data to try federated learning with: two sets shipped, two fetched, five of scikit-learn.

Importing this package reads nothing and fetches nothing. `CATALOGUE` lists what there is, with
licence and source; `hansa.datasets.fetch` says how fetched data are pinned, checked and kept.
"""

from hansa.cache import cache_folder
from hansa.datasets.catalogue import CATALOGUE, Entry, is_cached
from hansa.datasets.german_credit import german_credit
from hansa.datasets.heart_disease import heart_disease
from hansa.datasets.mnist import mnist
from hansa.datasets.sklearn_sets import sklearn_set
from hansa.datasets.tennessee_eastman import tennessee_eastman

__all__ = [
    "CATALOGUE",
    "Entry",
    "cache_folder",
    "german_credit",
    "heart_disease",
    "is_cached",
    "mnist",
    "sklearn_set",
    "tennessee_eastman",
]
