"""The sealed sum: additive Ring-LWE encryption, of which only the sum of the keys is ever opened.

sealed.py        what a user declares, and the phases of a round
party.py         the client's half
coordinator.py   the server's half
messages.py      what travels between them
seal.py          the arithmetic
parameters.py    the numbers, and what they hold against
"""
