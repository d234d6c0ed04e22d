"""The frozen values that stages hand to one another. No logic beyond reading them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatVector = NDArray[np.float32]
Metrics = Mapping[str, float]
Memory = Mapping[str, Array]
"""What a client keeps from round to round, by name: control variates, personal layers, positions."""
Weigh = Callable[[int, float, Sequence[Any]], float | None]
"""What gives a change its weight in a sum, from the client's place among those trained together, the float64
sum of the change's squares, and the change, as arrays of the backend; None leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows of one party's data.

    Attributes:
        x: Features: one array of shape ``(n, ...)``, or a dict or tuple of such arrays.
        y: Labels, shape ``(n, ...)``, or a dict or tuple of such arrays.
        sample_weight: Weight of each row in the loss, shape ``(n,)``, or None for equal weights.
        columns: Names of the features along the last axis of ``x``, where they have names.
    """

    x: Any
    y: Any
    sample_weight: Array | None = None
    columns: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(first_array(self.x))

    def take(self, rows: Array) -> Examples:
        """Return the rows with these indices (or True in a boolean mask), in their order."""
        return Examples(
            x=map_arrays(self.x, lambda a: a[rows]),
            y=map_arrays(self.y, lambda a: a[rows]),
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            columns=self.columns,
        )

    def whole(self) -> Examples:
        """Return the rows themselves; `View` has the same method."""
        return self


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """Rows of shared examples that are read like `Examples` and not copied until they are.

    A simulated population of many small clients shares one set of arrays; a client is then the few
    bytes of its index. ``x``, ``y`` and ``sample_weight`` copy the rows **at every access**: where they
    are needed more than once, take `whole` first and use that.

    Attributes:
        base: The shared rows.
        index: Which of them these are, in order, shape ``(m,)``, int64.

    Example:
        >>> shared = Examples(x=np.arange(4.0)[:, None], y=np.arange(4))
        >>> view = View(base=shared, index=np.array([1, 3]))
        >>> len(view), view.y.tolist(), view.take(np.array([1])).x.tolist()
        (2, [1, 3], [[3.0]])
    """

    base: Examples
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def x(self) -> Any:
        """Features of these rows, copied."""
        return map_arrays(self.base.x, lambda a: a[self.index])

    @property
    def y(self) -> Any:
        """Labels of these rows, copied."""
        return map_arrays(self.base.y, lambda a: a[self.index])

    @property
    def sample_weight(self) -> Array | None:
        """Weights of these rows, copied, or None."""
        return None if self.base.sample_weight is None else self.base.sample_weight[self.index]

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the features, where they have names."""
        return self.base.columns

    def take(self, rows: Array) -> Examples:
        """Return the rows with these indices (or True in a boolean mask) among these, copied."""
        return self.base.take(self.index[rows])

    def whole(self) -> Examples:
        """Return all of these rows as `Examples` of their own, copied."""
        return self.base.take(self.index)


TrainRows = Examples | View
"""Training rows: a client's own arrays, or its part of arrays that a simulated population shares."""


def first_array(tree: Any) -> Array:
    """Return the first array of an array, dict or tuple."""
    if isinstance(tree, dict):
        return first_array(next(iter(tree.values())))
    return first_array(tree[0]) if isinstance(tree, (tuple, list)) else tree


def map_arrays(tree: Any, function: Any) -> Any:
    """Apply a function to every array of an array, dict or tuple, keeping its structure."""
    if isinstance(tree, dict):
        return {key: map_arrays(value, function) for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(map_arrays(value, function) for value in tree)
    return function(tree)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientData:
    """One party's rows after preprocessing, in the splits that the party itself made."""

    train: TrainRows
    validation: Examples | None = None
    test: Examples | None = None

    def read(self) -> ClientData:
        """Return the rows themselves; `Unread` has the same method."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Unread:
    """One party's rows that are not kept: they are read again **at every access**.

    A population that is larger than memory passes through it client by client. Where several splits are
    needed, take `read` first and use that.

    Attributes:
        read: Reads and preprocesses the rows, the same ones at every call.

    Example:
        >>> rows = Examples(x=np.zeros((3, 1)), y=np.zeros(3))
        >>> len(Unread(lambda: ClientData(train=rows)).train)
        3
    """

    read: Callable[[], ClientData]

    @property
    def train(self) -> TrainRows:
        """Training rows, read."""
        return self.read().train

    @property
    def validation(self) -> Examples | None:
        """Validation rows, read, or None."""
        return self.read().validation

    @property
    def test(self) -> Examples | None:
        """Test rows, read, or None."""
        return self.read().test


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCard:
    """What a party tells about its data when it joins: sizes and schema, never a record.

    Attributes:
        examples: Number of rows by split (``"train"``, ``"validation"``, ``"test"``).
        features: Shape of one row's features: a shape, or shapes by name.
        columns: Names of the features, where they have names.
        labels: Number of training rows by label, where labels are classes; else None.
        label_range: Smallest and largest label value over all splits, where labels are numbers.
    """

    examples: Mapping[str, int]
    features: Any
    columns: tuple[str, ...] | None = None
    labels: Mapping[str, int] | None = None
    label_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Delta:
    """One client's update: what it would add to the global weights.

    Attributes:
        vector: Flat update, float32, shape ``(d,)``; see `hansa.tree.Layout`. Where updates are quantised,
            the integers that are summed, int64; where the norm of noise is proven, two rows: update, noise.
        weight: Weight in the mean, 0 or greater (number of training examples, or 1).
    """

    vector: Array
    weight: float


@dataclass(frozen=True, kw_only=True)
class Total:
    """The weighted sum of the deltas of a cohort: all that a server learns from a secure sum.

    Attributes:
        vector: ``Σ weight_i · vector_i``, float64, shape ``(d,)``.
        weight: ``Σ weight_i``.
        count: Number of deltas in the sum.
    """

    vector: NDArray[np.float64]
    weight: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the server sends to the clients of a round.

    Attributes:
        round: Number of the round, from 0.
        weights: Global weights, flat float32, shape ``(d,)``.
        extra: Further vectors of the algorithm by name (SCAFFOLD's control variate).
        learning_rate: The clients' learning rate, or None to use the one the model was compiled with.
        seed: Of the rotation of this round's updates, 32 bytes, public; empty where they are not rotated.
        clip_l2: Norm that updates are clipped to in this round, where the plan of privacy adapts it.
    """

    round: int
    weights: FloatVector
    extra: Mapping[str, Array] = field(default_factory=dict)
    learning_rate: float | None = None
    seed: bytes = b""
    clip_l2: float | None = None


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """Everything that the server carries from one round to the next.

    Attributes:
        round: Number of rounds finished.
        weights: Global weights, flat float32, shape ``(d,)``.
        slots: The server optimizer's or algorithm's own arrays by name (moments, control variate).
        learning_rate: The clients' learning rate if a callback has set one, else None.
    """

    round: int
    weights: FloatVector
    slots: Mapping[str, Array] = field(default_factory=dict)
    learning_rate: float | None = None


@dataclass(frozen=True)
class Batches:
    """The minibatches of one local training, in order.

    Attributes:
        order: Row indices of all minibatches one after another, int64, shape ``(n,)``.
        sizes: Number of rows of each minibatch, int64, shape ``(steps,)``, of sum n.

    Example:
        >>> [b.tolist() for b in Batches(np.arange(5), np.array([2, 2, 1]))]
        [[0, 1], [2, 3], [4]]
    """

    order: Array
    sizes: Array

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Array]:
        first = 0
        for size in self.sizes.tolist():
            yield self.order[first : first + size]
            first += size

    def of(self, index: Array) -> Batches:
        """Return the same minibatches of rows ``index[0]``, ``index[1]`` ... of something larger."""
        return Batches(index[self.order], self.sizes)

    @classmethod
    def from_arrays(cls, batches: Iterable[Array]) -> Batches:
        """Return minibatches given one by one."""
        each = [np.asarray(batch, np.int64) for batch in batches]
        order = np.concatenate(each) if each else np.zeros(0, np.int64)
        return cls(order, np.array([len(batch) for batch in each], np.int64))


@dataclass(frozen=True, kw_only=True)
class PrivateSteps:
    """What makes the steps of a local training differentially private (Abadi et al., 2016, algorithm 1).

    In each step every example's gradient is shortened to a norm, they are added up, Gaussian noise is added
    to the sum, and the sum is divided by the expected number of examples, whatever the number drawn.

    Attributes:
        clip_l2: Norm that the gradient of one example, over all trainable weights, is shortened to.
        noise: Standard deviation of the noise in each coordinate of the sum: noise multiplier times clip.
        expected: Expected number of examples of a minibatch, the denominator, above 0.
        key: 32 secret bytes from which the noise of this training comes.
        microbatch: Examples whose gradients are held at once, at most; None lets the learner choose.
    """

    clip_l2: float
    noise: float
    expected: float
    key: bytes = field(repr=False)
    microbatch: int | None = None


@dataclass(frozen=True, kw_only=True)
class LocalTask:
    """The local work of one client in one round, as its learner receives it.

    Attributes:
        start: Weights to start from, flat float32, all of the model's variables.
        batches: Row indices of each minibatch, in order.
        batch_size: Size of a full minibatch; the last of a pass may be shorter.
        kind: ``"train"`` takes an optimizer step per minibatch; ``"gradient"`` takes none and
            returns the mean gradient over all rows at ``start``.
        correct: Changes a gradient before the optimizer sees it, or None:
            ``correct(gradient, weight, start, control)`` on the backend's tensors, variable by variable.
        control: Flat vector handed to ``correct``, or None.
        learning_rate: Replaces the compiled optimizer's, or None to keep it.
        seed: Seed of the model's own random layers (dropout).
        private: Makes the steps differentially private, or None. Minibatches are then of any size, also
            empty ones and ones larger than ``batch_size``.
    """

    start: FloatVector
    batches: Batches
    batch_size: int
    kind: Literal["train", "gradient"] = "train"
    correct: Callable[[Any, Any, Any, Any], Any] | None = None
    control: FloatVector | None = None
    learning_rate: float | None = None
    seed: int = 0
    private: PrivateSteps | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.batches, Batches):
            object.__setattr__(self, "batches", Batches.from_arrays(self.batches))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What local work gave.

    Attributes:
        weights: Weights after the work, flat float32; for ``kind="gradient"`` the start weights
            minus the mean gradient (moving statistics as they became).
        steps: Number of minibatches worked through.
        learning_rate: The client optimizer's learning rate (at the end of the work).
        metrics: Loss and metrics over the rows worked through.
    """

    weights: FloatVector
    steps: int
    learning_rate: float
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request of a round to clients. An engine answers it and knows nothing of learning.

    Attributes:
        phase: What is asked: ``"train"``, ``"evaluate"``, ``"validate"`` (the server's own test set), or a
            phase of the secure sum.
        clients: Who is asked, in cohort order.
        payload: What they need to know.
        reduce: ``"keep"`` wants every reply with its vector; ``"sum"`` wants only the sum of the
            vectors, so that an engine may reduce in a stream.
        place: Where the messages of a secure sum belong (`hansa.secure_sum.roster.Place`); None without.
        each: What each client is sent beside the payload, by name.
    """

    phase: str
    clients: tuple[str, ...]
    payload: Any = None
    reduce: Literal["keep", "sum"] = "keep"
    place: Any = None
    each: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One client's answer to an Ask.

    Attributes:
        delta: Its update, where it was asked for one and the Ask keeps vectors.
        examples: Number of rows the metrics are about.
        metrics: Loss and metrics by occasion: ``"training"``, ``"before"``, ``"after"``, ``"validation"``.
        message: What it says in a phase of a secure sum, in place of its update.
        refusal: Why it does not answer, where it does not.
        clipped: Whether its update was clipped.
        size: Bytes of its update, where that was compressed.
    """

    delta: Delta | None = None
    examples: int = 0
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    message: Any = None
    refusal: str = ""
    clipped: bool = False
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An engine's answer to an Ask.

    Attributes:
        replies: Reply of each client that answered, in cohort order.
        total: Sum of the deltas, where the Ask wanted a sum.
        dropped: Reason by client, for those whose update is not in the sum.
        corrected: What was wrong, by client, in answers to a secure sum that were found and corrected.
        bytes_down: Bytes of payload sent to all clients together.
        bytes_up: Bytes of payload received from all clients together.
        timings_s: Seconds of the answer by phase (``gather``, ``train``, ``encode``, ``sum``), where the
            engine tells phases apart.
        replayed: Whether the messages come from a run's log, and not from clients.
    """

    replies: Mapping[str, Reply]
    total: Total | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    corrected: Mapping[str, str] = field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What clients said in one phase of a secure sum.

    Attributes:
        purpose: What is summed: ``"train"`` for updates, ``"tell"`` for metrics.
        phase: The phase.
        messages: What each said, by name.
        silent: Reason by client, for those that said nothing.
    """

    purpose: str
    phase: str
    messages: Mapping[str, Any]
    silent: Mapping[str, str]
