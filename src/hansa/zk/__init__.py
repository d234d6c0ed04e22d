"""Service: zero-knowledge proofs that committed cells satisfy linear, quadratic and boolean constraints.

A `statement.Statement` names groups of cells and the constraints over them; `prover.prove` makes the bytes
that `verifier.verify` checks. Nothing is assumed but hash functions: no trusted set-up, no groups. What the
cells mean is the statement's business; this package knows fields, polynomials and hashes.

    statement ── layout in rows ──> commitment (code, merkle) ──> combination ──> prover | verifier
                                        transcript: every challenge comes from all that was sent before

Assumes:
    SHA-256 and SHAKE-256 behave like random oracles; the operating system's generator is good. Unreviewed
    by outsiders (`docs/adr/0014-the-proof-system.md`). Nothing runs in constant time.
"""
