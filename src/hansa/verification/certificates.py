"""What clients have shown of their data before the first round, checked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansa.claims.claims import NOTE
from hansa.claims.terms import Terms
from hansa.errors import CertificateRejected, LogError
from hansa.secure_sum.roster import Roster
from hansa.verification.source import Source


def check_certificates(source: Source, roster: Roster, claimed: Mapping[str, Any]) -> str:
    """Check every client's certificate; return what they have shown, in words.

    Args:
        source: The log, which names the certificates.
        roster: Whose they are, and of which data sets.
        claimed: What the configuration says that was agreed on.

    Raises:
        LogError: If one is missing, or does not show what was agreed on; names the client.
    """
    from hansa.claims import Certificate, verify_certificate

    terms = Terms.from_description(claimed)
    noted = [entry.body["blobs"] for entry in source.public if entry.kind == NOTE]
    if len(noted) != 1 or not isinstance(noted[0], list) or len(noted[0]) != len(roster.members):
        raise LogError(f"the log does not have the certificates of {len(roster.members)} clients.")
    shown = {one.name: one for one in (Certificate.from_bytes(source.blobs.get(name)) for name in noted[0])}
    for member in roster.members:
        try:
            verify_certificate(
                shown.get(member.name),
                terms=terms,
                name=member.name,
                signing=member.signing,
                root=member.data,
                rows=member.rows,
            )
        except CertificateRejected as error:
            raise LogError(f"the certificate of {member.name!r} about its data: {error}") from error
    return f"{len(roster.members)} clients have shown of their data: {terms.explain()}"
