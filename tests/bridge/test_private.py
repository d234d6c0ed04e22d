"""Private steps against a slow, obvious reference: plain gradients of one example after another."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from hansa.bridge.private import Held, most_rows, width_of
from hansa.bridge.taps import taps_of
from hansa.errors import ConfigurationError
from hansa.train.keras_learner import KerasLearner
from hansa.types import Array, Examples, LocalTask, PrivateSteps

pytestmark = pytest.mark.backends

KEY = bytes(range(32))
N = 12
rng = np.random.default_rng(3)
IMAGES = rng.normal(size=(N, 9, 9, 2)).astype("float32")
VECTORS = rng.normal(size=(N, 6)).astype("float32")
SERIES = rng.normal(size=(N, 7, 4)).astype("float32")
IDS = rng.integers(0, 9, (N, 7)).astype("int32")
CLASSES = rng.integers(0, 3, N).astype("int64")
REAL = rng.normal(size=(N, 1)).astype("float32")
WEIGHTS = rng.uniform(0.2, 3, N).astype("float32")


def chain(shape: tuple[int, ...], *inner: Any, dtype: str = "float32", **settings: Any) -> Any:
    def build() -> Any:
        inputs = keras.Input(shape, dtype=dtype)
        x = inputs
        for make in inner:
            x = make()(x)
        return compiled(keras.Model(inputs, layers.Dense(3)(x)), **settings)

    return build


def compiled(model: Any, **settings: Any) -> Any:
    settings.setdefault("loss", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    settings.setdefault("optimizer", keras.optimizers.SGD(1.0))
    settings.setdefault("metrics", ["accuracy"])
    model.compile(**settings)
    return model


def two_inputs() -> Any:
    a, b = keras.Input((6,), name="a"), keras.Input((7,), name="b", dtype="int32")
    x = layers.Concatenate()([layers.Dense(4, "tanh")(a), layers.Flatten()(layers.Embedding(9, 2)(b))])
    return compiled(keras.Model({"a": a, "b": b}, layers.Dense(3)(x)))


def two_outputs() -> Any:
    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh")(inputs)
    outputs = {"first": layers.Dense(3, name="first")(x), "second": layers.Dense(1, name="second")(x)}
    loss = {"first": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "second": "mse"}
    model = keras.Model(inputs, outputs)
    return compiled(model, loss=loss, loss_weights={"first": 1.0, "second": 0.3}, metrics=None)


def shared_layer() -> Any:
    inputs = keras.Input((6,))
    same = layers.Dense(6, "tanh")
    return compiled(keras.Model(inputs, layers.Dense(3)(same(same(inputs)))))


def attention() -> Any:
    inputs = keras.Input((7, 4))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    return compiled(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))


class Tied(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(6, "tanh")

    def build(self, shape: Any) -> None:
        self.inner.build(shape)
        self.built = True

    def call(self, x: Any, training: Any = None) -> Any:
        return ops.matmul(self.inner(x), ops.transpose(self.inner.kernel))[:, :3]


def penalty() -> Any:
    return layers.Dense(5, "tanh", kernel_regularizer=keras.regularizers.L2(0.3))


TAPPED = {
    "mlp": (chain((6,), lambda: layers.Dense(8, "relu"), lambda: layers.Dense(7, "tanh")), VECTORS),
    "cnn": (
        chain(
            (9, 9, 2),
            lambda: layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            lambda: layers.MaxPooling2D(2, 1),
            lambda: layers.Conv2D(3, 2, dilation_rate=2, activation="tanh"),
            layers.Flatten,
        ),
        IMAGES,
    ),
    "pooling": (
        chain((9, 9, 2), lambda: layers.Conv2D(20, 6), lambda: layers.MaxPooling2D(2), layers.Flatten),
        IMAGES,
    ),
    "conv1d": (
        chain(
            (7, 4),
            lambda: layers.Conv1D(5, 3, padding="causal", activation="relu"),
            lambda: layers.Conv1D(5, 2, use_bias=False),
            layers.GlobalMaxPooling1D,
        ),
        SERIES,
    ),
    "embedding": (
        chain((7,), lambda: layers.Embedding(9, 4), layers.GlobalAveragePooling1D, dtype="int32"),
        IDS,
    ),
    "sequence": (
        chain((7, 4), lambda: layers.Dense(30, "tanh"), lambda: layers.Dense(20, "relu"), layers.Flatten),
        SERIES,
    ),
    "normalized": (
        chain(
            (7, 4),
            layers.LayerNormalization,
            lambda: layers.GroupNormalization(2),
            layers.RMSNormalization,
            lambda: layers.LayerNormalization(axis=[1, 2]),
            layers.Flatten,
        ),
        SERIES,
    ),
    "penalised": (chain((6,), penalty), VECTORS),
    "attention": (attention, SERIES),
    "inputs": (two_inputs, {"a": VECTORS, "b": IDS}),
    "outputs": (two_outputs, VECTORS),
}
ALONE = {
    "lstm": (chain((7, 4), lambda: layers.LSTM(3)), SERIES),
    "shared": (shared_layer, VECTORS),
    "tied": (lambda: compiled(Tied()), VECTORS),
    "active": (chain((6,), lambda: layers.Dense(4, activity_regularizer="l2")), VECTORS),
    "masked": (
        chain(
            (7,), lambda: layers.Embedding(9, 4, mask_zero=True), layers.GlobalAveragePooling1D, dtype="int32"
        ),
        IDS,
    ),
    "penalised": (chain((6,), penalty, layers.PReLU), VECTORS),
    "weighted mean": (
        chain(
            (6,),
            loss=keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            ),
        ),
        VECTORS,
    ),
}


def learner_of(build: Any, x: Any, weight: Array | None = None) -> tuple[KerasLearner, Examples]:
    return known(build), examples_of(build, x, weight)


@functools.cache
def known(build: Any) -> KerasLearner:
    x = next(x for made, x in (*TAPPED.values(), *ALONE.values(), (build, VECTORS)) if made is build)
    learner = KerasLearner(build)
    learner.build(examples_of(build, x), seed=1)
    return learner


def examples_of(build: Any, x: Any, weight: Array | None = None) -> Examples:
    y = {"first": CLASSES, "second": REAL} if build is two_outputs else CLASSES
    return Examples(x=x, y=y, sample_weight=weight)


def private(learner: KerasLearner, batches: list[Any], **settings: Any) -> LocalTask:
    steps = PrivateSteps(**{"clip_l2": 0.5, "noise": 0.0, "expected": 1.0, "key": KEY, **settings})
    each = [np.asarray(batch, np.int64) for batch in batches]
    return LocalTask(start=learner.initial_weights(), batches=each, batch_size=4, private=steps)


def total(learner: KerasLearner, examples: Examples, batch: Any, **settings: Any) -> Array:
    """Return what one step of SGD with learning rate 1 takes away from the trainable weights."""
    task, layout = private(learner, [batch], **settings), learner.layout()
    moved = layout.unflatten(task.start - learner.train(examples, task).weights)
    pairs = list(zip(moved, layout.entries, strict=True))
    assert all(entry.trainable or not part.any() for part, entry in pairs)
    return np.concatenate([part.reshape(-1) for part, entry in pairs if entry.trainable])


@functools.cache
def plain_gradients(learner: KerasLearner) -> Any:
    """Return a function that gives the gradient of a model's loss on rows, or of its penalties on weights."""
    model = learner.model
    variables = model.trainable_variables

    def loss(x: Any, y: Any, weight: Any, penalties: bool) -> Any:
        extra = sum(ops.sum(r) for r in model._get_regularization_losses())
        if penalties:
            return extra
        return model._compute_loss(x, y, model(x, training=True), weight, training=True) - extra

    def on_tensorflow(*row: Any) -> list[Array]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(*row)
        grads = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
        return [tf.convert_to_tensor(g).numpy() for g in grads]

    def on_torch(*row: Any) -> list[Array]:
        import torch

        grads = torch.autograd.grad(loss(*row), [v.value for v in variables], allow_unused=True)
        return [np.zeros(v.shape) if g is None else g.numpy() for g, v in zip(grads, variables, strict=True)]

    def on_jax() -> Any:
        import jax

        def of(values: Any, x: Any, y: Any, weight: Any, penalties: bool) -> Any:
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
                return loss(x, y, weight, penalties)

        gradient = jax.jit(jax.grad(of), static_argnums=4)
        return lambda *row: gradient([v.value for v in variables], *row)

    backend = keras.backend.backend()
    return on_jax() if backend == "jax" else {"tensorflow": on_tensorflow, "torch": on_torch}[backend]


def plain_gradient(learner: KerasLearner, row: Examples, *, penalties: bool) -> list[Array]:
    tensors = keras.tree.map_structure(ops.convert_to_tensor, (row.x, row.y))
    weight = None if row.sample_weight is None else ops.convert_to_tensor(row.sample_weight)
    return [np.asarray(g) for g in plain_gradients(learner)(*tensors, weight, penalties)]


def reference(learner: KerasLearner, examples: Examples, batch: Any, clip: float = 0.5) -> Array:
    """Return the sum of clipped gradients, example by example, and the penalties' gradient."""
    model = learner.load(learner.initial_weights())
    sums = [np.zeros(v.shape) for v in model.trainable_variables]
    for i in batch:
        grads = plain_gradient(learner, examples.take(np.array([i])), penalties=False)
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in grads))
        sums = [s + g * min(1.0, clip / norm) for s, g in zip(sums, grads, strict=True)]
    if model._get_regularization_losses():
        more = plain_gradient(learner, examples.take(np.array([0])), penalties=True)
        sums = [s + m for s, m in zip(sums, more, strict=True)]
    return np.concatenate([s.reshape(-1) for s in sums])


def agrees(found: Array, expected: Array, rtol: float = 2e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", TAPPED)
def test_a_step_is_the_sum_of_clipped_gradients(name: str) -> None:
    learner, examples = learner_of(*TAPPED[name], weight=WEIGHTS)
    assert taps_of(learner.model) is not None
    batch = [3, 1, 7, 7, 0]
    # Over many places norms are taken a little too large, by what rounding may be.
    rtol = 1e-4 if name == "pooling" else 2e-5
    agrees(total(learner, examples, batch), reference(learner, examples, batch), rtol)


@pytest.mark.parametrize("name", ALONE)
def test_other_models_are_taken_example_by_example(name: str) -> None:
    learner, examples = learner_of(*ALONE[name], weight=WEIGHTS)
    agrees(total(learner, examples, [3, 1, 7, 7, 0]), reference(learner, examples, [3, 1, 7, 7, 0]))


@pytest.mark.parametrize("name", ["mlp", "cnn", "outputs"])
def test_microbatches_change_nothing(name: str) -> None:
    learner, examples = learner_of(*TAPPED[name], weight=WEIGHTS)
    batches = [[0, 1, 2, 3, 4, 5, 6], [], [5], range(N), [2, 2, 3]]
    task = private(learner, batches, expected=40.0)
    whole = learner.train(examples, task)
    assert task.private is not None
    for microbatch in (1, 5):
        steps = dataclasses.replace(task.private, microbatch=microbatch)
        cut = learner.train(examples, dataclasses.replace(task, private=steps))
        agrees(cut.weights, whole.weights)
        assert cut.steps == whole.steps == 5
        # With sizes that are not fixed Keras means each output's own loss over minibatches, not over rows.
        apart = {"first_loss", "second_loss"} if keras.backend.backend() == "tensorflow" else set()
        for key, value in whole.metrics.items() if not apart & whole.metrics.keys() else ():
            assert cut.metrics[key] == pytest.approx(value, rel=2e-4)


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_metrics_are_those_of_the_examples_drawn(name: str) -> None:
    learner, examples = learner_of(*{**TAPPED, **ALONE}[name], weight=WEIGHTS)
    batch = [1, 4, 5, 9, 10]
    trained = learner.train(examples, private(learner, [batch, []], clip_l2=1e-9, microbatch=3))
    expected = learner.evaluate(learner.initial_weights(), examples.take(np.array(batch)), 64)
    assert trained.metrics == pytest.approx(dict(expected), rel=1e-5)
    empty = learner.train(examples, private(learner, [[], []]))
    assert empty.metrics["loss"] == 0.0 and empty.steps == 2
    np.testing.assert_array_equal(empty.weights, learner.initial_weights())
    nothing = learner.train(examples, private(learner, []))
    assert nothing.steps == 0
    np.testing.assert_array_equal(nothing.weights, learner.initial_weights())


def test_noise_has_the_size_that_was_asked_for_and_every_step_its_own() -> None:
    learner, examples = learner_of(chain((6,), lambda: layers.Dense(3000)), VECTORS)

    def moves(key: bytes, steps: int) -> list[Array]:
        weights = []
        for count in range(steps + 1):
            task = private(learner, [[]] * count, noise=3.0, expected=20.0, key=key)
            weights.append(learner.train(examples, task).weights.astype("float64"))
        return [after - before for before, after in itertools.pairwise(weights)]

    first, second, third = moves(KEY, 3)
    for noise in (first, second, third):
        assert noise.std() == pytest.approx(3.0 / 20.0, rel=0.02)
        assert abs(noise.mean()) < 0.005
        kurtosis = ((noise / noise.std()) ** 4).mean()
        assert kurtosis == pytest.approx(3.0, abs=0.15)
    other = moves(bytes(31) + b"\1", 1)[0]
    for a, b in ((first, second), (second, third), (first, third), (first, other)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    np.testing.assert_array_equal(moves(KEY, 1)[0], first)


def test_noise_is_added_to_the_sum_and_divided_by_the_expected_number() -> None:
    learner, examples = learner_of(*TAPPED["mlp"])
    quiet = total(learner, examples, range(N), expected=7.0)
    noise = total(learner, examples, [], noise=0.5, expected=7.0)
    both = total(learner, examples, range(N), noise=0.5, expected=7.0, microbatch=5)
    agrees(both, quiet + noise)
    agrees(quiet * 7.0, reference(learner, examples, range(N)))


@pytest.mark.parametrize("name", ["mlp", "cnn", "sequence", "embedding", "normalized", "lstm"])
def test_no_example_moves_the_sum_by_more_than_the_clip(name: str) -> None:
    build, x = {**TAPPED, **ALONE}[name]
    learner, examples = learner_of(build, x, np.ones(N, np.float32))
    before = total(learner, examples, [1, 2, 3, 4])
    for size in (1e3, 1e12, 1e30, np.inf, np.nan):
        if name == "embedding":
            weight = np.where(np.arange(N) == 0, np.float32(size), np.float32(1.0))
            spoilt = dataclasses.replace(examples, sample_weight=weight)
        else:
            values = x.copy()
            values[0] *= size
            spoilt = dataclasses.replace(examples, x=values)
        after = total(learner, spoilt, [1, 2, 3, 4, 0])
        assert np.linalg.norm((after - before).astype("float64")) <= 0.5 * (1 + 1e-5)
        if not np.isfinite(size):
            agrees(after, before)
            loss = learner.train(spoilt, private(learner, [[0, 1, 2, 3]])).metrics["loss"]
            if keras.backend.backend() != "tensorflow":  # its relu and pooling may turn NaN into numbers
                assert not np.isfinite(loss)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.1),
        lambda: keras.optimizers.AdamW(0.01, use_ema=True),
    ],
)
def test_the_compiled_optimizer_gets_the_noised_gradient(optimizer: Any) -> None:
    build = chain((6,), lambda: layers.Dense(8, "relu"), optimizer=optimizer())
    learner, examples = learner_of(build, VECTORS)
    # Nothing is clipped, and every minibatch has the expected number of rows: that is plain training.
    task = private(learner, [range(4), range(4, 8), range(8, 12)], clip_l2=1e6, expected=4.0)
    expected = learner.train(examples, dataclasses.replace(task, private=None))
    agrees(learner.train(examples, task).weights, expected.weights)


def test_corrections_apply_to_the_noised_gradient() -> None:
    learner, examples = learner_of(chain((6,), lambda: layers.Dense(8, "relu")), VECTORS)
    control = np.full(len(learner.initial_weights()), 0.25, np.float32)
    task = private(learner, [range(4), []], noise=0.1, expected=4.0)
    plain = learner.train(examples, task)
    moved = learner.train(examples, dataclasses.replace(task, correct=_add_control, control=control))
    one = dataclasses.replace(task, batches=[np.arange(4)])
    first = learner.train(examples, dataclasses.replace(one, correct=_add_control, control=control))
    agrees(first.weights, learner.train(examples, one).weights - 0.25)
    agrees(moved.weights, plain.weights - 0.5)


def _add_control(gradient: Any, weight: Any, start: Any, control: Any) -> Any:
    return gradient + control


@pytest.mark.parametrize("inner", [lambda: layers.Dropout(0.5), lambda: layers.LSTM(3, dropout=0.2)])
def test_random_layers_run(inner: Any) -> None:
    build = chain((7, 4), inner, layers.Flatten)
    learner, examples = KerasLearner(build), examples_of(build, SERIES)
    learner.build(examples, seed=1)
    task = private(learner, [range(5), range(N)], expected=8.0)
    weights = learner.train(examples, task).weights
    assert np.isfinite(weights).all()
    other = learner.train(examples, dataclasses.replace(task, seed=5)).weights
    assert not np.array_equal(weights, other)


def test_batch_normalization_is_refused_by_name() -> None:
    build = chain((6,), lambda: layers.BatchNormalization(name="statistics"))
    learner, examples = learner_of(build, VECTORS)
    with pytest.raises(ConfigurationError, match=r"'statistics'.*LayerNormalization"):
        total(learner, examples, [0])
    frozen = chain((6,), lambda: layers.BatchNormalization(trainable=False))
    learner, examples = learner_of(frozen, VECTORS)
    agrees(total(learner, examples, [0, 1]), reference(learner, examples, [0, 1]))


def test_loss_scaling_and_single_gradients_are_refused() -> None:
    build = chain((6,), optimizer=keras.optimizers.SGD(1.0, loss_scale_factor=8.0))
    learner, examples = learner_of(build, VECTORS)
    with pytest.raises(ConfigurationError, match="scales the loss"):
        total(learner, examples, [0])
    learner, examples = learner_of(*TAPPED["mlp"])
    with pytest.raises(ConfigurationError, match="one gradient"):
        learner.train(examples, dataclasses.replace(private(learner, [[0]]), kind="gradient"))
    for wrong in ({"clip_l2": 0.0}, {"noise": -1.0}, {"expected": 0.0}, {"microbatch": 0}, {"key": b"short"}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            total(learner, examples, [0], **wrong)


def test_weights_that_are_not_trained_stay() -> None:
    learner, examples = learner_of(
        lambda: compiled(
            keras.Sequential(
                [keras.Input((6,)), layers.SpectralNormalization(layers.Dense(4)), layers.Dense(3)]
            )
        ),
        VECTORS,
    )
    assert not all(entry.trainable for entry in learner.layout().entries)
    assert total(learner, examples, range(5)).any()  # which looks at the others, too


def test_few_widths() -> None:
    assert len({width_of(n, 512) for n in range(1, 2000)}) <= 24
    assert all(n <= width_of(n, 512) for n in range(1, 513))
    learner, _ = learner_of(*TAPPED["mlp"])
    steps = PrivateSteps(clip_l2=1.0, noise=1.0, expected=1.0, key=KEY)
    assert most_rows(learner.model, taps_of(learner.model), steps) == 512
    assert most_rows(learner.model, None, dataclasses.replace(steps, microbatch=9)) == 9


def test_mixed_precision_is_clipped_and_summed_in_float32() -> None:
    policy = "mixed_bfloat16"
    build = chain((6,), lambda: layers.Dense(8, "relu", dtype=policy), lambda: layers.Dense(4, dtype=policy))
    learner, examples = learner_of(build, VECTORS)
    found, expected = (f(learner, examples, range(N)) for f in (total, reference))
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())
    huge = dataclasses.replace(examples, x=VECTORS * 1e6)
    assert np.linalg.norm(total(learner, huge, [0])) <= 0.5 * (1 + 1e-5)


def test_threads_do_not_see_one_another_s_recording() -> None:
    learner, examples = learner_of(chain((6,), lambda: layers.Dense(8, "relu")), VECTORS)
    taps = taps_of(learner.model)
    assert taps is not None
    x = ops.convert_to_tensor(examples.x)
    before = {id(tap.layer): dict(vars(tap.layer)) for tap in taps.each}
    expected = ops.convert_to_numpy(learner.model(x))
    with ThreadPoolExecutor(1) as pool, taps.recording(lambda _, z: z * 0.0) as record:
        other = pool.submit(lambda: ops.convert_to_numpy(learner.model(x))).result()
        own = ops.convert_to_numpy(learner.model(x))
    np.testing.assert_array_equal(other, expected)
    assert not own.any() and [len(calls) for calls in record] == [1, 1]
    for tap in taps.each:
        assert vars(tap.layer)["activation"] is before[id(tap.layer)]["activation"]
        assert "call" not in vars(tap.layer)


def test_a_setting_is_held_until_the_last_thread_lets_it_go():
    """Threads train at once: the first to end must not give ten bits to those that go on."""
    setting = ["fast"]
    held = Held(lambda: setting[0], lambda value: setting.__setitem__(0, value), "exact")
    first, second = held(), held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert setting == ["exact"]
    second.__exit__(None, None, None)
    assert setting == ["fast"]
    with pytest.raises(ZeroDivisionError), held():
        raise ZeroDivisionError
    assert setting == ["fast"]
