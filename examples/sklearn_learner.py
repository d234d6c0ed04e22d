"""Federate a scikit-learn model: five clients train one SGDClassifier on handwritten digits.

A model that is not Keras joins through `hansa.Learner`. Its weights travel as one flat float32 vector, here
the classifier's ``coef_`` followed by its ``intercept_``. Needs scikit-learn
(pip install '.[sklearn]' in a clone of Hansa).
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

import hansa
from hansa.errors import ConfigurationError
from hansa.tree import Entry, Layout
from hansa.types import DataCard, FloatVector, LocalTask, Metrics, Trained


class SGDClassifierLearner:
    """Logistic regression by scikit-learn's stochastic gradient descent, as a `hansa.Learner`."""

    corrects_gradients = False  # scikit-learn takes its steps itself, so FedProx and SCAFFOLD cannot be used
    plain_sgd = False

    def __init__(self, classes: int, learning_rate: float = 0.05) -> None:
        """Remember the number of classes (labels are 0, 1, ..., classes - 1) and the step size."""
        self.classes, self.learning_rate = np.arange(classes), learning_rate

    def build(self, examples: hansa.Examples, seed: int) -> None:  # noqa: ARG002
        """Learn the number of features; linear models begin at zero, so that the seed is not needed."""
        rows = 1 if len(self.classes) == 2 else len(self.classes)  # two classes share one row of coefficients
        coef = Entry(name="coef", shape=(rows, examples.x.shape[1]))
        self._layout = Layout((coef, Entry(name="intercept", shape=(rows,))))

    def layout(self) -> Layout:
        """Return where ``coef_`` and ``intercept_`` lie in the vector."""
        return self._layout

    def initial_weights(self) -> FloatVector:
        """Return zeros."""
        return np.zeros(self._layout.size, np.float32)

    def check_data(self, card: DataCard) -> str | None:
        """Refuse labels that are not among the classes."""
        unknown = set(card.labels or {}) - {str(c) for c in self.classes}
        return f"labels {sorted(unknown)} beyond the {len(self.classes)} classes" if unknown else None

    def train(self, examples: hansa.Examples, task: LocalTask) -> Trained:
        """Call ``partial_fit`` on each minibatch."""
        if task.kind != "train":
            raise ConfigurationError("SGDClassifierLearner has no gradients to give; use FedAvg.")
        rate = self.learning_rate if task.learning_rate is None else task.learning_rate
        model = self._model(task.start, rate)
        seen, steps = [], 0
        for rows in task.batches:
            weight = None if examples.sample_weight is None else examples.sample_weight[rows]
            model.partial_fit(examples.x[rows], examples.y[rows], sample_weight=weight)
            seen.append(rows)
            steps += 1
        weights = self._layout.flatten([model.coef_, model.intercept_])
        metrics = self.evaluate(weights, examples.take(np.concatenate(seen)), batch_size=0)
        return Trained(weights=weights, steps=steps, learning_rate=rate, metrics=metrics)

    def evaluate(self, weights: FloatVector, examples: hansa.Examples, batch_size: int) -> Metrics:  # noqa: ARG002
        """Return log loss and accuracy; all rows fit in memory, so that the batch size is not needed."""
        probabilities = self._model(weights, self.learning_rate).predict_proba(examples.x)
        right = self.classes[probabilities.argmax(axis=1)] == examples.y
        loss = log_loss(examples.y, probabilities, labels=self.classes)
        return {"loss": float(loss), "accuracy": float(right.mean())}

    def _model(self, weights: FloatVector, rate: float) -> SGDClassifier:
        model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, shuffle=False)
        coef, intercept = self._layout.unflatten(weights)
        # The first call creates what the model keeps beside its weights; then the weights are put in place.
        model.partial_fit(np.zeros((1, coef.shape[1]), "float32"), self.classes[:1], classes=self.classes)
        model.coef_, model.intercept_, model.t_ = coef.copy(), intercept.copy(), 1.0
        return model


def main() -> None:
    """Train on five clients that hold the digits unevenly; print accuracy before and after."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype("float32"), y.astype("int64")
    train, test = slice(0, 1500), slice(1500, None)
    clients = hansa.data.dirichlet(x[train], y[train], clients=5, alpha=0.5, seed=0)
    learner = SGDClassifierLearner(classes=10)
    federation = hansa.Federation(learner, clients, algorithm=hansa.FedAvg(epochs=1, batch_size=64), seed=0)
    federation.prepare()
    rows = hansa.Examples(x=x[test], y=y[test])
    before = learner.evaluate(learner.initial_weights(), rows, 256)
    federation.fit(rounds=15, validation=rows)
    after = federation.evaluate(x[test], y[test])
    print(f"accuracy before: {before['accuracy']:.3f}")
    print(f"accuracy after 15 rounds: {after['accuracy']:.3f}")


if __name__ == "__main__":
    main()
