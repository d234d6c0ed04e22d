"""Stage: how the sum of the clients' updates comes about, and what the server sees of them."""

from hansa.secure_sum.plain import Plain

__all__ = ["Plain"]
