"""Each party's own data: sources, splits and preprocessing, and partitions to simulate many parties."""

from hansa.data.bucketize import Bucketize
from hansa.data.client import Client
from hansa.data.partition import by_key, dirichlet, iid, quantity_skew, shards
from hansa.data.preprocess import Impute, MinMax, Standardize
from hansa.data.sources import Arrays
from hansa.data.split import Split
from hansa.data.stream import Stream
from hansa.data.tables import CSV, Parquet
from hansa.data.vocabulary import Vocabulary

__all__ = [
    "CSV",
    "Arrays",
    "Bucketize",
    "Client",
    "Impute",
    "MinMax",
    "Parquet",
    "Split",
    "Standardize",
    "Stream",
    "Vocabulary",
    "by_key",
    "dirichlet",
    "iid",
    "quantity_skew",
    "shards",
]
