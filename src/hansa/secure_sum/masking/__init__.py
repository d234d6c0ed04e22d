"""The masked sum: pairwise masks that cancel, and shares by which those of clients that drop out are removed.

masking.py       what a user declares, and the phases of a round
party.py         the client's half
coordinator.py   the server's half
messages.py      what travels between them
graph.py         who masks with whom
masks.py         the arithmetic
shares.py        a client's two secrets as shares
parameters.py    the numbers, and what they hold against
"""
