"""What parties tell about their data when they join, and whether it fits together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import numpy as np

from hansa.data.labels import class_labels, count_labels
from hansa.data.part_cards import part_cards, row_shapes
from hansa.data.parts import parts_of
from hansa.data.split import SPLITS
from hansa.errors import DataError
from hansa.types import ClientData, DataCard, Examples, View


def card(data: ClientData) -> DataCard:
    """Return sizes and schema of one party's data: never a record.

    Labels are counted where they are classes (see `hansa.data.labels.class_labels`). A party whose
    rows are all of one class is allowed; its card shows it.
    """
    splits = {name: getattr(data, name) for name in SPLITS}
    present: dict[str, Examples] = {name: part.whole() for name, part in splits.items() if part is not None}
    train = present["train"]
    classes = class_labels(train.y)
    label_range = None
    if isinstance(train.y, np.ndarray):
        ends = [end for part in present.values() if part.y.size for end in (part.y.min(), part.y.max())]
        label_range = (float(min(ends)), float(max(ends))) if ends else None
    return DataCard(
        examples={name: len(part) for name, part in present.items()},
        features=row_shapes(train.x),
        columns=train.columns,
        labels=None if classes is None else count_labels(classes),
        label_range=label_range,
    )


def cards(population: Mapping[str, ClientData]) -> dict[str, DataCard]:
    """Return the card of each client of a population.

    Guarantees:
        Each is equal to what `card` returns. Clients that share their arrays (`hansa.types.View`) are
        counted together, in time that hardly depends on how many they are.
    """
    views: dict[str, View] = {}
    told: dict[str, DataCard] = {}
    for name, data in population.items():
        if isinstance(data.train, View) and len(data.train) and data.validation is data.test is None:
            views[name] = data.train
        else:
            told[name] = card(data)
    for parts in parts_of(views):
        told.update(zip(parts.names, part_cards(parts), strict=True))
    return {name: told[name] for name in population}


def check_cards(cards: Mapping[str, DataCard]) -> None:
    """Raise unless all parties have features of the same shape with the same column names.

    What most parties have is taken as right; the message tells how the first other one differs.

    Args:
        cards: The parties' cards by name.

    Raises:
        DataError: A party differs.
    """
    if not cards:
        raise DataError("there are no clients; a federation needs at least one.")
    # Most clients of a large population have the very same tuples, which need to be written out once.
    texts: dict[tuple[int, int], str] = {}
    keys: dict[str, str] = {}
    for name, one in cards.items():
        same = (id(one.features), id(one.columns))
        if same not in texts:
            texts[same] = _schema(one)
        keys[name] = texts[same]
    (usual, votes), *others = Counter(keys.values()).most_common()
    if not others:
        return
    reference = next(name for name, key in keys.items() if key == usual)
    odd = [name for name, key in keys.items() if key != usual]
    tied = votes == others[0][1]
    rest = f" ({len(odd)} clients differ: {', '.join(map(repr, odd[:10]))})" if len(odd) > 1 else ""
    against = f"{reference!r}" if tied else f"{votes} of {len(keys)} clients, such as {reference!r}"
    raise DataError(
        f"client {odd[0]!r} has other features than {against}{rest}: "
        f"{_difference(cards[odd[0]], cards[reference])}. "
        "All clients must have the same features in the same order."
    )


def _schema(card: DataCard) -> str:
    columns = None if card.columns is None else list(card.columns)
    return json.dumps([card.features, columns], sort_keys=True)


def _difference(odd: DataCard, usual: DataCard) -> str:
    told: list[str] = []
    if _schema(DataCard(examples={}, features=odd.features)) != _schema(
        DataCard(examples={}, features=usual.features)
    ):
        told.append(f"a row has shape {odd.features} instead of {usual.features}")
    if odd.columns is None or usual.columns is None:
        if odd.columns != usual.columns:
            told.append("its columns have " + ("no names" if odd.columns is None else f"names {odd.columns}"))
        return "; ".join(told)
    missing = [name for name in usual.columns if name not in odd.columns]
    extra = [name for name in odd.columns if name not in usual.columns]
    told += [f"it lacks {', '.join(map(repr, missing))}"] if missing else []
    told += [f"it also has {', '.join(map(repr, extra))}"] if extra else []
    if odd.columns != usual.columns and not missing and not extra:
        place = next(
            i for i, pair in enumerate(zip(odd.columns, usual.columns, strict=False)) if pair[0] != pair[1]
        )
        told.append(
            f"the order of its columns differs: column {place + 1} is {odd.columns[place]!r} "
            f"instead of {usual.columns[place]!r}"
        )
    return "; ".join(told)
