"""What a certificate shows, as a statement for `hansa.zk`: bits, and a few sums of them.

For each slot there is a bit that says whether a record is there, the bits of its numbers, and one bit for
each class. A bit of a number counts what `hansa.claims.terms.weights_up_to` says, so that a value out of
range cannot be written at all. Numbers in slots without a record mean nothing, and are in range too. Shown is

    boolean    every cell is 0 or 1
    classes    in each slot the class bits add up to the presence bit: one label for a record, else none
    counts     presence bits add up to records + slack, or to the slots where the count is told;
               the bits of a class to its minimum + slack; slacks are numbers from 0 up, in bits as well

No sum can wrap: all are below 2^54, far below the field's modulus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hansa.claims.records import Records, bits_of
from hansa.claims.terms import MOST_CELLS, Column, Terms
from hansa.crypto import field
from hansa.crypto.encoding import digest
from hansa.crypto.field import Field
from hansa.zk.parameters import choose
from hansa.zk.statement import Cells, Constraints, Segment, Weights, Witness

BITS = 100
"""Work to forge a certificate, as a power of two."""


class DataStatement:
    """The statement about one data set.

    Attributes:
        parameters: Rows and columns of the proof.
        segments: Cells, by group; all of them are bits.
        messages: None in the only stage.
        digest: Of terms and slots.

    Raises:
        ValueError: If so many slots have no room for the records, or are too many to prove anything of.
    """

    messages = (0,)

    def __init__(self, terms: Terms, slots: int) -> None:
        """Take what is public."""
        cells = slots * (1 + terms.record_bits + len(terms.classes))
        least = max(terms.records, sum(fewest for _, fewest in terms.classes))
        if not least <= slots or cells > MOST_CELLS:
            raise ValueError(
                f"{slots} slots with {cells} bits: expected {least} or more, and up to {MOST_CELLS} bits"
            )
        self.terms, self.slots = terms, slots
        # One number from 0 to what is left, for each count that has a minimum.
        self.slacks = [Column(name="slack", low=fewest, high=slots, scale=0) for _, fewest in terms.counts]
        sizes = {
            "present": slots,
            "numbers": slots * terms.record_bits,
            "labels": slots * len(terms.classes),
            "slack": sum(len(slack.weights) for slack in self.slacks),
        }
        self.segments = [Segment(name=n, cells=size, boolean=True) for n, size in sizes.items() if size]
        self.parameters = choose(sum(sizes.values()), bits=BITS, trees=1)
        self.digest = digest("hansa.claims", terms.hash, slots)

    def constraints(self, seeds: Sequence[bytes], messages: Sequence[bytes]) -> Constraints:  # noqa: ARG002
        """Return what holds of the bits."""
        one_label = [_OneLabel(self.slots)] if self.terms.classes else []
        return Constraints(linear=[*one_label, _Counts(self)])


class _OneLabel:
    """In each slot the class bits add up to the presence bit."""

    def __init__(self, slots: int) -> None:
        self.count = slots

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        labels = weights["labels"].reshape(self.count, -1, 2)
        labels[...] = field.add(labels, coefficients[:, None].repeat(labels.shape[1], axis=1))
        weights["present"][...] = field.sub(weights["present"], coefficients)
        return np.zeros(2, np.uint64)


class _Counts:
    """What is counted is its minimum and a slack; the slots, where the count is told."""

    def __init__(self, statement: DataStatement) -> None:
        self._of = statement
        self.count = len(statement.slacks) + statement.terms.exact

    def add_to(self, weights: Weights, coefficients: Field) -> Field:
        of, total, place = self._of, np.zeros(2, np.uint64), 0
        for own, (which, fewest), slack in zip(coefficients, of.terms.counts, of.slacks, strict=False):
            self._add(weights, which, own)
            if slack.weights:
                cells = weights["slack"][place : place + len(slack.weights)]
                factors = field.from_ints(slack.weights)[:, None]
                cells[...] = field.sub(cells, field.mul(factors, own[None]))
                place += len(slack.weights)
            total = field.add(total, field.mul(own, np.array(fewest, np.uint64)))
        if of.terms.exact:
            self._add(weights, None, coefficients[-1])
            total = field.add(total, field.mul(coefficients[-1], np.array(of.slots, np.uint64)))
        return total

    def _add(self, weights: Weights, which: int | None, own: Field) -> None:
        """Add a coefficient to all bits of a class, or to all presence bits."""
        cells = weights["present"]
        if which is not None:
            cells = weights["labels"].reshape(self._of.slots, -1, 2)[:, which]
        cells[...] = field.add(cells, own[None].repeat(self._of.slots, axis=0))


def witness_of(statement: DataStatement, records: Records) -> Witness:
    """Return the bits of records, for the prover of a statement with room for them."""
    cells = {name: values.reshape(-1).astype(np.uint64) for name, values in _groups(statement, records)}
    return lambda stage, seeds: Cells(cells=cells)  # noqa: ARG005 - no challenge before the only stage


def _groups(statement: DataStatement, records: Records) -> list[tuple[str, Any]]:
    terms, slots, count = statement.terms, statement.slots, len(records)
    present = np.zeros(slots, np.uint8)
    present[:count] = 1
    numbers = np.zeros((slots, terms.record_bits), np.uint8)
    if terms.record_bits:
        each = [bits_of(records.units[:, i], column) for i, column in enumerate(terms.numbers)]
        numbers[:count] = np.concatenate(each, axis=1)
    labels = np.zeros((slots, len(terms.classes)), np.uint8)
    if terms.classes:
        labels[np.arange(count), records.labels] = 1
    left = [
        (count if which is None else int((records.labels == which).sum())) - fewest
        for which, fewest in terms.counts
    ]
    slack = [bits_of(np.array([one]), column)[0] for one, column in zip(left, statement.slacks, strict=True)]
    groups = [("present", present), ("numbers", numbers), ("labels", labels)]
    groups.append(("slack", np.concatenate(slack) if slack else np.empty(0, np.uint8)))
    return [(name, values) for name, values in groups if values.size]
