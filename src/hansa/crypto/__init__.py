"""Service: the cryptography that secure sums and proofs are made of. It knows nothing of learning.

Field and ring arithmetic, sampling, Shamir sharing with error correction, envelopes, signatures and
commitments. Curves, ciphers and hashes are those of `cryptography` and `hashlib`; the arithmetic is
compiled by Numba on first use and kept on the disk. Arrays of field elements are ``uint64``, canonical (below
the modulus) on the way in and out. Compiled loops run without Python's lock and without threads of their own.

Assumes:
    Nothing here runs in constant time, and memory is not wiped: Python promises neither. An attacker
    who measures this process is outside the model (`docs/threat-model.md`).
"""
