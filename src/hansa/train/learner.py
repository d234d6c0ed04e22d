"""What Hansa asks of a model: five methods. Keras models have them through `KerasLearner`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from hansa.tree import Layout
from hansa.types import Array, DataCard, Examples, FloatVector, LocalTask, Metrics, Trained


@runtime_checkable
class Learner(Protocol):
    """A model that can be trained on one party's rows. Implement it for models that are not Keras.

    One learner serves all clients of a process in turn, so a method must not depend on what
    was called before: everything that matters is in its arguments.

    One that honours ``task.private`` says so with ``private_steps = True``, for `hansa.privacy.RecordDP`.
    """

    @property
    def corrects_gradients(self) -> bool:
        """Whether `train` honours ``task.correct`` (FedProx, SCAFFOLD need it)."""
        ...

    @property
    def plain_sgd(self) -> bool:
        """Whether a step is ``w - learning_rate * gradient`` exactly (SCAFFOLD needs it)."""
        ...

    def build(self, examples: Examples, seed: int) -> None:
        """Create the model's variables; ``examples`` holds a few rows that show shapes and dtypes.

        Raises:
            ConfigurationError: If the model cannot take such rows.
        """
        ...

    def layout(self) -> Layout:
        """Return the layout of the flat weight vector. Called after `build`."""
        ...

    def initial_weights(self) -> FloatVector:
        """Return the initial weights as a flat float32 vector of the layout's size."""
        ...

    def check_data(self, card: DataCard) -> str | None:
        """Return what is wrong with a party's data for this model, or None."""
        ...

    def train(self, examples: Examples, task: LocalTask) -> Trained:
        """Do the local work of ``task`` on these rows."""
        ...

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return ``loss`` and metrics of these weights on these rows."""
        ...


class Measures(Protocol):
    """What measuring weights asks of a model: a part of `Learner`."""

    def evaluate(self, weights: FloatVector, examples: Examples, batch_size: int) -> Metrics:
        """Return ``loss`` and metrics of these weights on these rows."""
        ...


def class_weighted(examples: Examples, class_weight: Mapping[int, float] | None) -> Examples:
    """Return the rows with their sample weight multiplied by the weight of their class.

    Args:
        examples: Rows with integer class labels of shape ``(n,)`` or ``(n, 1)``, or one-hot ``(n, k)``.
        class_weight: Weight by class; classes that are not named weigh 1. None changes nothing.
    """
    import numpy as np

    if not class_weight:
        return examples
    y = np.asarray(examples.y)
    classes = y.argmax(-1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y))
    labels, places = np.unique(classes, return_inverse=True)
    table: Array = np.array([class_weight.get(int(c), 1.0) for c in labels], np.float32)[places]
    if examples.sample_weight is not None:
        table = table * examples.sample_weight
    return Examples(x=examples.x, y=examples.y, sample_weight=table, columns=examples.columns)
