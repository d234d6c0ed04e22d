"""Categories of a text column that nobody declared: found over all clients, with a place for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansa.errors import ConfigurationError

UNKNOWN = "[UNK]"
"""The column of texts that are no category is named so, as in `keras.layers.StringLookup`."""

MOST_CATEGORIES = 4096
LONGEST = 1024


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The categories of a text column are those that are frequent enough; all other texts are ``[UNK]``.

    Before a run they are found over all clients through the run's secure sum, among all rows of the clients'
    files, whatever their split (`hansa.statistics.vocabulary`). The column becomes a column of 0 and 1 for
    each category, the most frequent first, and one for all other texts. Texts are the same where they are
    equal letter by letter: unlike with declared categories, "1.0" is not "1".

    Attributes:
        minimum: Fewest rows, of all clients together, that must have a text for it to be a category.
        holders: Fewest clients that must have it, 1 or more. 2 keeps texts out that one client alone has.
        most: Most categories, the most frequent ones (of equally frequent ones, those of lower hashes); None
            keeps all.
        longest: Most bytes that a text has in UTF-8, 1 to 1,024; a client with a longer one is told so.
        categories: The categories, where they are known: those of a finished run, to read new rows as it
            did. Nothing is searched for then. None finds them.

    Raises:
        ConfigurationError: An option cannot be, or neither ``minimum`` nor ``categories`` is given.
    """

    minimum: int | None = None
    holders: int = 1
    most: int | None = None
    longest: int = 64
    categories: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.categories is None:
            raise ConfigurationError(
                "Vocabulary needs minimum, the fewest rows that have a category, such as minimum=20; or "
                "categories, where they are known."
            )
        if self.minimum is not None:
            _check_whole("minimum", self.minimum)
        _check_whole("holders", self.holders)
        if self.most is not None:
            _check_whole("most", self.most, MOST_CATEGORIES)
        _check_whole("longest", self.longest, LONGEST)
        if self.categories is not None:
            object.__setattr__(self, "categories", checked_texts("Vocabulary.categories", self.categories))
            if UNKNOWN in (self.categories or ()):
                raise ConfigurationError(
                    f"Vocabulary.categories holds {UNKNOWN!r}, which stands for all others."
                )

    def describe(self) -> dict[str, Any]:
        """Return the options; categories only where they were given."""
        options = {name: getattr(self, name) for name in ("minimum", "holders", "most", "longest")}
        return options if self.categories is None else {**options, "categories": list(self.categories)}


def checked_texts(name: str, values: Any, least: int = 1) -> tuple[str, ...]:
    """Return different texts, as many as needed or more, or raise `ConfigurationError`."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} must be a list of texts, got {values!r}.")
    texts = tuple(str(value) for value in values)
    if len(set(texts)) < len(texts) or len(texts) < least:
        raise ConfigurationError(
            f"{name} must have different categories, {least} or more, got {list(texts)}."
        )
    return texts


def _check_whole(name: str, value: Any, most: int | None = None) -> None:
    right = isinstance(value, int) and not isinstance(value, bool)
    if not right or value < 1 or (most is not None and value > most):
        span = "of 1 or more" if most is None else f"from 1 to {most:,}"
        raise ConfigurationError(f"Vocabulary.{name} must be an integer {span}, got {value!r}.")
