"""Federations whose clients prove what their rows are, before the first round."""

import dataclasses
import functools
import json

import numpy as np
import pytest

import hansa
from hansa import client as client_module
from hansa.api import certify as certifying
from hansa.api.certify import check_certificates, read_certificates
from hansa.claims import CertificateRejected, Claims, Terms, verify_certificate
from hansa.claims.records import Records
from hansa.errors import ConfigurationError, DataError, RunError, UnknownNameError
from hansa.report.page import write_report
from hansa.store.run import Run
from hansa.zk import prover
from least_squares import federation, population, rows

SIZES = (20, 30, 25, 40)
CLAIMS = Claims(ranges=(-10, 10), target=(-50, 50), records=15)
SEALED = hansa.Sealed(proof=hansa.NormBound())
QUANTISE = hansa.Quantise(clip=4.0, bound=2**12)


def made(claims=CLAIMS, secure_sum="plain", clients=None, **settings):
    told = {"algorithm": hansa.FedAvg(steps=2, batch_size=4), "seed": 3, **settings}
    if secure_sum != "plain":
        told["quantise"] = QUANTISE
    return federation(clients or population(SIZES), claims=claims, secure_sum=secure_sum, **told)


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def members_of(folder):
    """The roster's members in a run's configuration, by name."""
    members = config_of(folder)["roster"]["members"]
    return members if isinstance(members, dict) else {one["name"]: one for one in members}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with claims, and its folder."""
    folder = tmp_path_factory.mktemp("claims") / "run"
    one = made()
    one.fit(1, run=folder)
    return one, folder


def test_claims_change_nothing_of_the_model(first):
    plain = made(None)
    plain.fit(1)
    assert plain.model_hash == first[0].model_hash


def test_what_was_shown_can_be_checked_from_the_folder_alone(first):
    folder = first[1]
    config = config_of(folder)
    terms = Terms.from_description(config["claims"])
    certificates = read_certificates(folder)
    assert sorted(certificates) == ["c0", "c1", "c2", "c3"]
    for name, certificate in certificates.items():
        member = members_of(folder)[name]
        assert "rows" not in member
        verify_certificate(
            certificate,
            terms=terms,
            name=name,
            signing=bytes.fromhex(member["signing"]),
            root=bytes.fromhex(member["data"]),
        )
    assert len({certificate.root for certificate in certificates.values()}) == 4


def test_the_public_log_names_no_client(first):
    with Run.open(first[1], write=False) as run:
        (noted,) = [entry.body for entry in run.entries() if entry.kind == "certificates"]
        assert list(noted) == ["blobs"]
        assert len({run.blobs.get(name) for name in noted["blobs"]}) == 4


def test_the_report_says_what_was_proven_and_what_not(first, tmp_path):
    write_report(first[0].report_data(), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "What clients proved about their data" in text
    assert "that the data are true" in text
    assert "Range of feature 0" in text


def test_a_run_without_claims_says_nothing_of_them(tmp_path):
    plain = made(None)
    plain.fit(1, run=tmp_path / "run")
    assert "claims" not in config_of(tmp_path / "run")
    assert "What clients proved" not in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(RunError, match="keeps no certificates"):
        read_certificates(tmp_path / "run")


def test_a_resumed_run_shows_the_same_certificates(tmp_path):
    folder = tmp_path / "run"
    made(secure_sum="sealed").fit(1, run=folder)
    before = read_certificates(folder)
    again = made(secure_sum="sealed")
    again.fit(2, run=folder, resume=True)
    assert read_certificates(folder) == before
    whole = made(secure_sum="sealed")
    whole.fit(2)
    assert again.model_hash == whole.model_hash


# ------------------------------------------------------------------ claims that do not hold


def poor(**changes):
    """The population with another data set of the third client."""
    x, y = rows(25, seed=2)
    changes = {"x": x, "y": y, **changes}
    clients = list(population(SIZES))
    clients[2] = dataclasses.replace(clients[2], source=hansa.data.Arrays(changes["x"], changes["y"]))
    return tuple(clients)


def outlier():
    x, _ = rows(25, seed=2)
    x[7, 1] = 10.1
    return poor(x=x)


@pytest.mark.parametrize(
    ("claims", "clients", "told"),
    [
        (CLAIMS, outlier, r"'c2'.*'ranges'.*feature 1.*row 8"),
        (dataclasses.replace(CLAIMS, records=21), population, "'c0'.*'records'"),
        (Claims(ranges=(-10, 10), classes=(0, 1)), poor, "'c0'.*'classes'"),
        (dataclasses.replace(CLAIMS, target=(-1, 1)), poor, "'c0'.*'target'"),
    ],
)
def test_a_client_whose_rows_are_otherwise_is_named_before_round_0(claims, clients, told):
    people = population(SIZES) if clients is population else clients()
    one = made(claims, clients=people)
    with pytest.raises(DataError, match=told):
        one.fit(1)
    assert one.records == []


def test_a_certificate_that_shows_nothing_is_rejected_and_its_client_named(monkeypatch):
    """A client that does not look whether what it proves is so."""

    def lenient(client, data, terms):
        records = certifying.claimed_of(client, data, terms)
        return Records(records.units[:14], records.labels) if client.name == "c2" else records

    monkeypatch.setattr("hansa.api.localise.claimed_of", lenient)
    monkeypatch.setattr("hansa.claims.certificate.prove", functools.partial(prover.prove, check=False))
    with pytest.raises(CertificateRejected, match="client 'c2': certificate rejected by the check 'proof'"):
        made().fit(1)


def test_a_missing_certificate_is_named(first):
    certificates = read_certificates(first[1])
    terms = Terms.from_description(config_of(first[1])["claims"])
    signing = {name: one.signing for name, one in certificates.items()}
    check_certificates(certificates, terms, signing)
    with pytest.raises(CertificateRejected, match=r"client 'c9': .*no certificate came"):
        check_certificates(certificates, terms, {**signing, "c9": b"s" * 32})


@pytest.mark.parametrize("claims", ["all", {"records": 3}, True])
def test_claims_are_claims(claims):
    with pytest.raises(ConfigurationError, match="Claims"):
        made(claims)


def test_columns_are_those_of_the_clients():
    with pytest.raises(UnknownNameError, match="feature 0"):
        made(Claims(ranges={"age": (0, 1), "*": (-10, 10)}, target=(-50, 50))).prepare()


def test_rows_are_certified_before_preprocessing_and_after_the_split():
    clients = tuple(
        dataclasses.replace(
            one,
            preprocess=[hansa.data.Standardize(scope="federated")],
            split=hansa.data.Split(train=0.5, validation=0.5),
        )
        for one in population((40, 40, 40))
    )
    claimed = made(dataclasses.replace(CLAIMS, exact_count=True), clients=clients).prepare().claimed
    assert [len(records) for records in claimed.records.values()] == [20, 20, 20]
    x, _ = rows(40, seed=0)
    index = clients[0].split.rows(40, name="c0", y=None)["train"]
    units = claimed.records["c0"].units[:, 0]
    column = claimed.terms.columns[0]
    assert np.allclose(units * 2.0**-column.scale - 10, x[index, 0], atol=2.0**-column.scale)


# ------------------------------------------------------------------ the same data set as in an earlier run


def test_the_same_data_set_as_in_an_earlier_run(first, tmp_path):
    folder = first[1]
    again = made(dataclasses.replace(CLAIMS, same_as=folder), secure_sum="sealed")
    again.fit(1, run=tmp_path / "again")
    earlier, now = read_certificates(folder), read_certificates(tmp_path / "again")
    assert earlier == now
    before, after = members_of(folder), members_of(tmp_path / "again")
    for name in earlier:
        assert before[name]["data"] == after[name]["data"]
        assert before[name]["signing"] == after[name]["signing"]
        assert before[name]["exchange"] != after[name]["exchange"]
    again.fit(2, run=tmp_path / "again", resume=True)


def changed_row():
    x, _ = rows(25, seed=2)
    x[3, 0] += 0.25
    return poor(x=x)


def test_another_data_set_than_in_the_earlier_run(first):
    claims = dataclasses.replace(CLAIMS, same_as=first[1])
    with pytest.raises(DataError, match="'c2': the claim 'same_as' does not hold"):
        made(claims, clients=changed_row()).fit(1)
    with pytest.raises(DataError, match="'c0': the claim 'same_as'"):  # other claims of the same rows
        made(dataclasses.replace(claims, records=3)).fit(1)
    with pytest.raises(RunError, match="'c4' had no part"):
        made(claims, clients=population((*SIZES, 20))).fit(1)


def test_an_earlier_run_without_claims_or_none(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        made(dataclasses.replace(CLAIMS, same_as=tmp_path / "none")).fit(1)
    made(None, secure_sum="sealed").fit(1, run=tmp_path / "run")
    with pytest.raises(RunError, match="keeps no certificates"):
        made(dataclasses.replace(CLAIMS, same_as=tmp_path / "run")).fit(1)


# ------------------------------------------------------------------ exact counts and weights

EXACT = dataclasses.replace(CLAIMS, exact_count=True)


@pytest.fixture
def liar(monkeypatch):
    """Client c1, of 30 rows, says that it has 40; and proves it as well as it can."""
    honest = client_module.weight_in_mean

    def weight(plan, count):
        return 40.0 if count == 30 else honest(plan, count)

    monkeypatch.setattr(client_module, "weight_in_mean", weight)
    monkeypatch.setattr("hansa.secure_sum.sealed.dealing.prove", functools.partial(prover.prove, check=False))


@pytest.mark.parametrize(
    ("secure_sum", "quantise", "why"),
    [
        ("plain", None, "its weight is 40, and it certified 30 rows"),
        ("plain", QUANTISE, "its weight is 40, and it certified 30 rows"),
        (SEALED, QUANTISE, "its proof was rejected"),
    ],
    ids=["plain", "plain integers", "sealed"],
)
def test_a_forged_weight(secure_sum, quantise, why, liar):
    one = made(EXACT, secure_sum, quantise=quantise)
    one.fit(1)
    assert list(one.records[0].dropped) == ["c1"]
    assert why in one.records[0].dropped["c1"]
    if secure_sum != "plain":
        return
    hidden = made(CLAIMS, secure_sum, quantise=quantise)  # where the number is not told, it binds nothing
    hidden.fit(1)
    assert hidden.records[0].dropped == {}


@pytest.mark.parametrize(
    ("secure_sum", "aggregate"),
    [("plain", "examples"), ("plain", "uniform"), (SEALED, "examples")],
    ids=["plain", "uniform", "sealed"],
)
def test_honest_weights_pass(secure_sum, aggregate):
    one = made(EXACT, secure_sum, aggregate=aggregate)
    one.fit(1)
    assert one.records[0].dropped == {}
    without = made(None, secure_sum, aggregate=aggregate)
    without.fit(1)
    assert one.model_hash == without.model_hash


def test_weights_are_capped_as_the_run_says():
    one = made(EXACT, SEALED, quantise=None)
    one.quantise = hansa.Quantise(clip=4.0, bound=2**12, max_weight=25)
    one.fit(1)
    assert one.records[0].dropped == {}


def test_a_data_card_that_tells_another_number_than_was_certified():
    one = made(EXACT)
    plan, claimed = one.plan(), one.prepare().claimed
    more = dataclasses.replace(plan.cards["c1"], examples={"train": 31})
    with pytest.raises(CertificateRejected, match=r"client 'c1': .*'records'.*31 rows, and it is of 30"):
        certifying.certified_keys(
            dataclasses.replace(plan, cards={**plan.cards, "c1": more}), EXACT, claimed, None
        )
