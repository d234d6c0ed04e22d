"""A certificate: made by a client of its rows, checked by anyone from public values alone, kept in a file.

It is one commitment with the one proof that can be made of it, since a proof uses up what hides the
committed cells. It is bound to the client's name and signing key and to the terms, and to no run: it can be
shown again, and its root is the same then.

    hansa.certificate.v1 ⏎ | length of the head, 4 bytes | head, canonical JSON | proof

The head has name, signing key, slots, signature and terms. The root is the first 32 bytes of the proof.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from hansa.claims.records import Records, slots_for
from hansa.claims.statement import DataStatement, witness_of
from hansa.claims.terms import MOST_CELLS, Terms, canonical
from hansa.crypto.encoding import encoded
from hansa.crypto.signature import SIZE, SigningKey, is_signed
from hansa.errors import CertificateRejected, ConfigurationError
from hansa.zk.proof import ProofRejected
from hansa.zk.prover import prove
from hansa.zk.transcript import Transcript
from hansa.zk.verifier import verify

ROOT = KEY = 32
MOST_BYTES = 1 << 26
_MAGIC = b"hansa.certificate.v1\n"
_MOST_HEAD = 1 << 24
_LONGEST_NAME = 1000


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a client shows of its data set.

    Attributes:
        name: The client.
        signing: Its Ed25519 public key.
        terms: What is claimed.
        slots: For how many records there is room: their number, where that is told.
        proof: That the claims hold of what is committed to.
        signature: Of the key's owner, over all of it.
    """

    name: str
    signing: bytes
    terms: Terms
    slots: int
    proof: bytes
    signature: bytes

    @property
    def root(self) -> bytes:
        """What stands for the data set: 32 bytes."""
        return self.proof[:ROOT]

    @property
    def rows(self) -> int | None:
        """The number of records where it is told, else None."""
        return self.slots if self.terms.exact else None

    @property
    def signed(self) -> tuple[str, str, bytes, int, bytes]:
        """What the signature is over."""
        return "certificate", self.name, self.terms.hash, self.slots, hashlib.sha256(self.proof).digest()

    def to_bytes(self) -> bytes:
        """Return it as bytes: the same certificate, the same bytes."""
        head = canonical(
            {
                "name": self.name,
                "signing": self.signing.hex(),
                "slots": self.slots,
                "signature": self.signature.hex(),
                "terms": self.terms.describe(),
            }
        )
        return _MAGIC + len(head).to_bytes(4, "little") + head + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Return the certificate that these bytes are. It is not verified.

        Raises:
            CertificateRejected: If they are none.
        """
        start = len(_MAGIC) + 4
        if type(data) is not bytes or not start <= len(data) <= MOST_BYTES or not data.startswith(_MAGIC):
            raise CertificateRejected("decoding", f"these are not the bytes of one, up to {MOST_BYTES}.")
        length = int.from_bytes(data[start - 4 : start], "little")
        if length > min(_MOST_HEAD, len(data) - start):
            raise CertificateRejected("decoding", f"a head of {length} bytes does not fit.")
        try:
            told = json.loads(data[start : start + length])
            made = cls(
                name=told["name"],
                signing=bytes.fromhex(told["signing"]),
                terms=Terms.from_description(told["terms"]),
                slots=told["slots"],
                proof=data[start + length :],
                signature=bytes.fromhex(told["signature"]),
            )
            sound = type(made.name) is str and len(made.name) <= _LONGEST_NAME and type(made.slots) is int
            sound = sound and (len(made.signing), len(made.signature)) == (KEY, SIZE)
            same = made.to_bytes() == data
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
            raise CertificateRejected("decoding", "the head is not that of a certificate.") from error
        if not (sound and same):
            raise CertificateRejected("decoding", "the head is not written as it has to be.")
        return made


def certify(
    records: Records,
    terms: Terms,
    *,
    name: str,
    key: SigningKey,
    random: Callable[[int], bytes] = os.urandom,
) -> Certificate:
    """Return a client's certificate about its records: half a second for 10^6 bits.

    Args:
        records: Of which the claims hold (`hansa.claims.records.records_of`).
        terms: What is claimed.
        name: The client's name.
        key: Its signing key.
        random: Gives secret random bytes; another source than the operating system's is for tests.

    Raises:
        ConfigurationError: If the records are too many to be certified together.
    """
    slots = slots_for(len(records), exact=terms.exact)
    try:
        statement = DataStatement(terms, slots)
    except ValueError as error:
        raise ConfigurationError(
            f"{len(records)} records cannot be certified: {error}. Take a lower resolution, or fewer rows."
        ) from error
    proof = prove(statement, witness_of(statement, records), _said(name, key.public), random=random)
    bare = Certificate(
        name=name, signing=key.public, terms=terms, slots=slots, proof=proof, signature=bytes(SIZE)
    )
    return dataclasses.replace(bare, signature=key.sign(*bare.signed))


def verify_certificate(
    certificate: Certificate | None,
    *,
    terms: Terms,
    name: str,
    signing: bytes,
    root: bytes | None = None,
    rows: int | None = None,
) -> None:
    """Check that a certificate shows what was agreed on, of the data set of one client.

    Args:
        certificate: From anyone; None where none came.
        terms: What was agreed on: the verifier's own, as the run's configuration has them.
        name: The client, as the roster names it.
        signing: Its signing key, as the roster has it.
        root: The root that the roster has for its data set; None while there is no roster.
        rows: The number of rows that the roster has beside it, or None.

    Raises:
        CertificateRejected: If it does not, with the name of the check.

    Guarantees:
        Whoever makes a certificate that is accepted knows such a data set, but for 2^-100 a try
        (`hansa.zk.parameters`), and the owner of the key has signed it.
    """
    if type(certificate) is not Certificate or type(certificate.proof) is not bytes:
        raise CertificateRejected("decoding", "no certificate came.")
    if certificate.name != name or certificate.signing != signing:
        raise CertificateRejected("owner", f"it is not that of {name!r} with this signing key.")
    if certificate.terms != terms:
        raise CertificateRejected("terms", "it shows other claims than those that were agreed on.")
    if type(certificate.slots) is not int or not 0 < certificate.slots <= MOST_CELLS:
        raise CertificateRejected("records", f"it cannot have {certificate.slots!r} slots.")
    if root is not None and (certificate.root, certificate.rows) != (root, rows):
        raise CertificateRejected(
            "root", f"it is about another data set, or number of rows, than {name!r} is listed with."
        )
    if not is_signed(certificate.signature, signing, *certificate.signed):
        raise CertificateRejected("signature", f"it is not signed by {name!r}.")
    try:
        statement = DataStatement(terms, certificate.slots)
    except ValueError as error:
        raise CertificateRejected("records", f"{error}.") from error
    try:
        verify(statement, certificate.proof, _said(name, signing))
    except ProofRejected as error:
        raise CertificateRejected("proof", f"{error}.") from error


def same_data(certificate: Certificate, earlier: Certificate) -> bool:
    """Whether two certificates of one client are about the same data set, bit for bit.

    False says nothing: whoever certifies the same rows again has another root. Both have to be verified.
    """
    one, other = ((c.name, c.signing, c.terms, c.slots, c.root) for c in (certificate, earlier))
    return one == other


def _said(name: str, signing: bytes) -> Transcript:
    said = Transcript("hansa.claims")
    said.absorb("owner", encoded("owner", name, signing))
    return said
