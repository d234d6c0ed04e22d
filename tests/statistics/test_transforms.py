import numpy as np
import pytest

import hansa
from hansa.api.localise import localise
from hansa.data import Client, Impute, MinMax, Standardize
from hansa.data.client import as_clients
from hansa.data.prepare import load_all, prepare
from hansa.errors import ConfigurationError, DataError
from hansa.secure_sum import SECURE_SUMS, Plain, Sealed
from hansa.statistics.transforms import fit_federated, sum_summaries

SECURE = [kind for kind in SECURE_SUMS if kind != "plain"]
PIPELINES = [
    (Impute(scope="federated"), Standardize(scope="federated")),
    (Standardize(scope="federated", ddof=0, shift=1.7), Impute(scope="federated")),
    (MinMax(scope="federated"), Impute(scope="federated")),
    (Impute(), Standardize(), MinMax(scope="federated")),
]


def hospitals(steps):
    return tuple(
        Client(
            name=name,
            source=hansa.data.CSV(path, target="num", positive=">0", missing="keep"),
            preprocess=steps,
        )
        for name, path in hansa.datasets.heart_disease().items()
        if name != "switzerland" or steps[0].scope == "federated"  # it has columns without any value
    )


@pytest.mark.parametrize("kind", SECURE)
@pytest.mark.parametrize("steps", PIPELINES, ids=lambda steps: "-".join(type(s).__name__ for s in steps))
def test_every_secure_sum_prepares_the_same_rows(steps, kind):
    if steps[0].scope == "local":
        steps = (Impute(scope="federated"), *steps[1:])
    clients = hospitals(steps)
    plain, secure = localise(clients), localise(clients, SECURE_SUMS[kind]())
    assert secure.preprocessing == plain.preprocessing
    for name, site in plain.sites.items():
        np.testing.assert_array_equal(site.data.train.x, secure.sites[name].data.train.x)


def test_federated_bounds_are_those_of_all_rows():
    tables = [np.random.default_rng(i).normal(size=(9, 2, 2)).astype("float32") for i in range(3)]
    tables[0][1] = np.nan
    step = MinMax(scope="federated")
    clients = tuple(
        Client(name=str(i), source=hansa.data.Arrays(t, np.arange(9) % 2), preprocess=(step, Impute()))
        for i, t in enumerate(tables)
    )
    loaded = load_all(clients)
    known = fit_federated(clients, loaded, Sealed())
    pooled = np.concatenate(tables)
    assert known[0]["minimum"].tolist() == np.nanmin(pooled, axis=0).tolist()
    assert known[0]["maximum"].tolist() == np.nanmax(pooled, axis=0).tolist()
    x = np.concatenate([prepare(c, known, loaded=loaded[c.name]).train.x for c in clients])
    assert (x.min(), x.max()) == (0, 1)
    told = localise(clients).preprocessing
    assert told[0]["center"] == np.nanmin(pooled, axis=0).tolist()


def test_a_feature_without_any_value_keeps_its_bounds_away():
    x = np.float32([[1, np.nan], [2, np.nan]])
    clients = as_clients({"a": (x, [0, 1]), "b": (x, [0, 1])})
    clients = tuple(
        Client(name=c.name, source=c.source, preprocess=(MinMax(scope="federated"),)) for c in clients
    )
    loaded = {c.name: hansa.data.prepare.load(c, keep_missing=True) for c in clients}
    known = fit_federated(clients, loaded, Plain())
    assert np.isnan(known[0]["minimum"]).tolist() == [False, True]


@pytest.mark.parametrize("kind", SECURE)
def test_one_or_two_clients_are_refused_with_what_it_is_about(kind):
    steps = (Impute(scope="federated"), MinMax(scope="federated"))
    with pytest.raises(ConfigurationError, match=r"preprocess\[0\], Impute: .* 2 clients hides nothing"):
        localise(hospitals(steps)[:2], SECURE_SUMS[kind]())
    assert localise(hospitals(steps)[:2], Plain()).sites


def test_sums_of_summaries_are_those_of_the_plain_sum_or_refused():
    rng = np.random.default_rng(0)
    own = {str(i): {"sum": rng.normal(size=(2, 2)) * 10.0 ** rng.integers(-9, 9, (2, 2))} for i in range(4)}
    own["0"]["sum"][0, 0] = -0.0
    plain, sealed = sum_summaries(own, Plain(), "s"), sum_summaries(own, Sealed(), "s")
    assert plain["sum"].tobytes() == sealed["sum"].tobytes()
    for value, message in ((np.inf, "not a finite"), (1e100, "too large"), (1e-100, "finer")):
        bad = {**own, "2": {"sum": np.array([[0, 0], [value, 0]])}}
        with pytest.raises(DataError, match=f"client '2': sum of feature 1,0: .*{message}"):
            sum_summaries(bad, Sealed(), "s")
    with pytest.raises(DataError, match="client '3' has other features"):
        sum_summaries({**own, "3": {"sum": np.zeros(3)}}, Sealed(), "s")


def test_integers_that_float32_does_not_hold_have_no_federated_bounds():
    x = np.array([[1], [2**24 + 1]])
    clients = tuple(
        Client(name=n, source=hansa.data.Arrays(x, [0, 1]), preprocess=MinMax(scope="federated"))
        for n in "ab"
    )
    with pytest.raises(DataError, match="client 'a': column '0' has integers beyond"):
        localise(clients)
