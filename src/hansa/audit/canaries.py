"""Canaries: clients whose updates are directions that nobody else sends, and the model that carries them.

Directions are rows of a Hadamard matrix with random signs: of norm 1, exactly orthogonal, and each spread
over all coordinates. So what comes out of a sum along one of them is one canary's update and noise, and along
a direction that nobody sends it is noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hansa.data.client import Client
from hansa.data.sources import Arrays
from hansa.rng import Seeds
from hansa.tree import Entry, Layout
from hansa.types import Array, DataCard, Examples, FloatVector, LocalTask, Metrics, Trained

Floats = NDArray[np.float64]
LOUD = 1e6
"""How much longer than a clip of 1 the updates of canaries are, so that a missing clip is seen."""
HEAVY = 9
"""Rows of the heavy client for each row of all others together: it has 90 % of the data."""


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Orthonormal directions of a space.

    Attributes:
        count: How many are sent by somebody; the others stay unused.
        dimension: Of the space, a power of two above ``count``.
        seed: Of signs and order.
    """

    count: int
    dimension: int
    seed: int = 0

    @cached_property
    def _signs(self) -> Floats:
        return Seeds(self.seed).stream("audit", "signs").choice([-1.0, 1.0], self.dimension)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return Seeds(self.seed).permutation(self.dimension, "audit", "rows")

    def __getitem__(self, number: int) -> Floats:
        """Return a direction, float64, shape ``(dimension,)``, of norm 1."""
        return self.vectors(np.arange(self.dimension)[None] == number)[0]

    def coordinates(self, vectors: Array) -> Floats:
        """Return how much of each direction is in vectors.

        Args:
            vectors: Shape ``(n, dimension)``.

        Returns:
            Shape ``(n, dimension)``; the first ``count`` columns are of the directions that are sent.
        """
        return _hadamard(np.asarray(vectors, np.float64) * self._signs)[:, self._order]

    def vectors(self, coordinates: Array) -> Floats:
        """Return the vectors of coordinates: `coordinates` backwards."""
        ordered = np.empty(coordinates.shape)
        ordered[:, self._order] = coordinates
        return _hadamard(ordered) * self._signs


def _hadamard(vectors: Floats) -> Floats:
    """Return rows times the normalised Hadamard matrix (Sylvester's), by butterflies."""
    count, size = vectors.shape
    width = 1
    while width < size:
        pairs = vectors.reshape(count, -1, 2, width)
        vectors = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        vectors, width = vectors.reshape(count, size), 2 * width
    return vectors / np.sqrt(size)


@final
@dataclass
class Canaries:
    """A model of one flat vector whose clients send directions. It is a `hansa.Learner`.

    Client i sends ``sent[i]`` times direction i, whatever the model is.

    Attributes:
        directions: The directions.
        sent: For each client its factor: `LOUD` and more, zero, or less than zero.
    """

    directions: Directions
    sent: Floats
    corrects_gradients: bool = False
    plain_sgd: bool = True
    _made: dict[int, FloatVector] = field(default_factory=dict)

    def build(self, examples: Examples, seed: int) -> None:
        """Do nothing: the model is a vector."""

    def layout(self) -> Layout:
        """Return the layout of one vector."""
        return Layout((Entry(name="0/canaries", shape=(self.directions.dimension,)),))

    def initial_weights(self) -> FloatVector:
        """Return zeros."""
        return np.zeros(self.directions.dimension, np.float32)

    def check_data(self, card: DataCard) -> str | None:  # noqa: ARG002 - any data are good
        """Return None."""
        return None

    def train(self, examples: Examples, task: LocalTask) -> Trained:
        """Return the start with the client's own vector added; its first row says who it is."""
        who = int(np.asarray(examples.x).flat[0])
        if who not in self._made:
            self._made[who] = (self.sent[who] * self.directions[who]).astype(np.float32)
        return Trained(weights=task.start + self._made[who], steps=1, learning_rate=1.0, metrics={})

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:  # noqa: ARG002
        """Return nothing of interest."""
        return {"loss": 0.0}


def clients(count: int) -> list[Client]:
    """Return so many clients of one row each, and after them one that has 90 % of all rows."""
    return [
        _client(i, np.full((1, 1), i, np.float32), i + 0.5, rows=_rows(i, count)) for i in range(count + 1)
    ]


def pulled(size: int, *, rate: float) -> Any:
    """Return a Keras model of a flat vector, of so many weights, in which rows choose their gradients.

    It is one dense layer whose loss is minus its output times the label: whatever its weights, the gradient
    of a row is minus its features times its label.
    """
    import keras

    model = keras.Sequential(
        [keras.Input((size,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(rate), _pull)
    return model


def _pull(wanted: Any, output: Any) -> Any:
    import keras

    return keras.ops.negative(keras.ops.mean(wanted * output, axis=-1))


def pulling(directions: Directions, sent: Floats) -> list[Client]:
    """Return clients that send what `Canaries` send, with `pulled` of rate 1 and minibatches of all rows."""
    count = len(sent) - 1
    labels = sent + 0.5 * np.sign(sent)  # whole numbers would be classes
    return [
        _client(i, directions[i][None].astype(np.float32), labels[i], rows=_rows(i, count))
        for i in range(count + 1)
    ]


def _rows(number: int, count: int) -> int:
    return 1 if number < count else HEAVY * count


def name_of(number: int) -> str:
    """Return the name of the client of this number."""
    return f"canary-{number}"


def _client(number: int, row: Array, label: float, *, rows: int) -> Client:
    x, y = np.repeat(row, rows, axis=0), np.full(rows, label, np.float32)
    return Client(name=name_of(number), source=Arrays(x, y))
