"""Certificates about the clients' data in a simulation: made or shown again, and checked, before round 0.

Each client certifies for itself and the server checks every certificate; here both are one process. A run's
folder keeps the certificates among its blobs, and the log names them, so that anyone can check them again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hansa.api.keys import keys_for, read_fingerprints
from hansa.claims.claims import NOTE, Claims, columns_of, indicators_of
from hansa.claims.records import Records, fingerprint, records_of
from hansa.claims.terms import Terms
from hansa.data.client import Client
from hansa.data.prepare import naming
from hansa.errors import CertificateRejected, DataError, RunError
from hansa.plan import Plan
from hansa.secure_sum.interface import Keys
from hansa.store.run import Run
from hansa.types import ClientData, DataCard

if TYPE_CHECKING:
    from hansa.claims.certificate import Certificate


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What clients claim of their rows, which hold. It does not print rows.

    Attributes:
        terms: What is claimed.
        records: The rows as whole numbers, by client.
    """

    terms: Terms
    records: Mapping[str, Records]


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What clients have shown before the first round; nothing where nothing is claimed.

    Attributes:
        certificates: By client, each verified.
        fingerprints: By client, what it keeps to see whether its rows are still the same.
    """

    certificates: Mapping[str, Certificate] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)


def terms_of(claims: Claims, clients: Sequence[Client], card: DataCard) -> Terms:
    """Return what is claimed of data sets with the columns of a card."""
    columns = columns_of(card)
    return claims.terms(columns, indicators_of(clients[0].source, columns))


def claimed_of(client: Client, data: ClientData, terms: Terms) -> Records:
    """Return a client's training rows, before preprocessing, as records of which the claims hold.

    Raises:
        DataError: If one does not; names client and claim.
    """
    with naming(client):
        return records_of(data.train.whole(), terms)


def certified_keys(
    plan: Plan, claims: Claims | None, claimed: Claimed | None, folder: Path | None
) -> tuple[Mapping[str, Keys], Certified]:
    """Return the keys of a run's clients with what is pinned of their data, and what they have shown of it.

    Args:
        plan: The plan of the run.
        claims: What was declared, or None.
        claimed: What clients claim, where something was declared.
        folder: Of the run that is gone on with, or None.

    Raises:
        CertificateRejected, DataError, RunError: As `certified`.
    """
    keys = keys_for(plan, folder, claims)
    if claims is None or claimed is None:
        return keys, Certified()
    shown = certified(claims, claimed, keys, folder)
    for name, one in shown.certificates.items():
        told = plan.cards[name].examples.get("train", 0)
        if one.rows not in (None, told):
            raise CertificateRejected(
                "records", f"its card tells {told} rows, and it is of {one.rows}.", name
            )
    return with_roots(keys, shown.certificates), shown


def certified(claims: Claims, claimed: Claimed, keys: Mapping[str, Keys], folder: Path | None) -> Certified:
    """Let clients certify, or show what they certified before; check every certificate.

    Args:
        claims: What was declared.
        claimed: What clients claim.
        keys: Their keys; of an earlier run where its certificates are shown.
        folder: Of the run that is gone on with, or None.

    Raises:
        CertificateRejected: If a certificate does not show what is claimed; names the client.
        DataError: If a client's rows are not those that it certified before.
        RunError: If the earlier run's certificates are missing.
    """
    before = folder if folder is not None else None if claims.same_as is None else Path(claims.same_as)
    prints = {
        name: fingerprint(records, claimed.terms, keys[name].signing.private)
        for name, records in claimed.records.items()
    }
    if before is None:
        from hansa.claims import certify

        made = {
            name: certify(records, claimed.terms, name=name, key=keys[name].signing)
            for name, records in claimed.records.items()
        }
    else:
        made = read_certificates(before)
        _check_same(made, prints, before)
    check_certificates(made, claimed.terms, {name: keys[name].signing.public for name in claimed.records})
    return Certified(certificates=made, fingerprints=prints)


def check_certificates(
    certificates: Mapping[str, Certificate], terms: Terms, signing: Mapping[str, bytes]
) -> None:
    """Check the certificates of all clients: what a server does before the first round.

    Raises:
        CertificateRejected: If one does not show what is claimed; names the client.
    """
    from hansa.claims import verify_certificate

    for name, key in signing.items():
        try:
            verify_certificate(certificates.get(name), terms=terms, name=name, signing=key)
        except CertificateRejected as error:
            raise CertificateRejected(error.check, error.why, name) from error


def with_roots(keys: Mapping[str, Keys], certificates: Mapping[str, Certificate]) -> dict[str, Keys]:
    """Return keys with what is pinned of each client's data."""
    return {
        name: dataclasses.replace(own, data=certificates[name].root, rows=certificates[name].rows)
        if name in certificates
        else own
        for name, own in keys.items()
    }


def read_certificates(folder: Path) -> dict[str, Certificate]:
    """Return the certificates that a run's folder keeps, by client. They are not verified.

    Raises:
        RunError: If there are none, or a file is missing or damaged.
    """
    from hansa.claims import Certificate

    with Run.open(folder, write=False) as run:
        noted = [entry for entry in run.entries() if entry.kind == NOTE]
        if not noted:
            raise RunError(
                f"{folder} keeps no certificates about data: it made no claims, or ended before it began to "
                "train. Start a new run, without same_as."
            )
        made = [Certificate.from_bytes(run.blobs.get(name)) for name in noted[0].body["blobs"]]
    return {one.name: one for one in made}


def keep_certificates(store: Run, certificates: Mapping[str, Certificate]) -> None:
    """Keep certificates in a run's folder. The public log has their hashes, and no name."""
    if certificates:
        names = [store.blobs.put(one.to_bytes()) for one in certificates.values()]
        store.note(NOTE, {"blobs": names})


def _check_same(made: Mapping[str, Certificate], prints: Mapping[str, str], folder: Path) -> None:
    known = read_fingerprints(folder)
    for name, own in prints.items():
        if name not in made or name not in known:
            raise RunError(
                f"client {name!r} showed no certificate in the run in {folder}. Leave same_as out."
            )
        if known[name] != own:
            raise DataError(
                f"client {name!r}: the claim 'same_as' does not hold: its training rows, or what is claimed "
                f"of them, are not those of the run in {folder}."
            )
