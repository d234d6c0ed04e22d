"""Fast local training on PyTorch: one step is traced once and then run many times without Python."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from hansa.bridge import model as bridge
from hansa.bridge.padding import flat_losses, padded_size, pads
from hansa.bridge.torch_program import Program
from hansa.bridge.torch_script import compile_trace
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.types import Array, Examples, LocalTask, Metrics, map_arrays

# Tracing patches PyTorch for the whole process, and eager noise comes from the process' one generator.
_COUNTING, _WORKING = threading.Lock(), [0]  # workers that train now
_PROCESS = threading.RLock()
_copy_all: Any = torch._foreach_copy_  # type: ignore[attr-defined]
Result = tuple[list[Array], int, float, Metrics]
Step = Callable[..., Any]


class Trainer:
    """One worker's local training, in a simulation that trains many clients with one model.

    All clients' rows are one population; a task's batches are indices into it. ``"traced"`` records one
    step on the tensors that the model's variables hold, and runs all steps of a client without Python,
    so that workers do not wait for one another. ``"eager"`` runs `Program`'s own steps and takes every model.

    Guarantees:
        Results are those of `Program.train` up to rounding. A model whose step cannot be recorded is
        refused; every recorded step is compared with `Program`'s on two batches before it is used.
    """

    strategies: ClassVar[tuple[str, ...]] = ("traced", "eager")
    shares_model: ClassVar[bool] = False
    adds: ClassVar[bool] = False

    @classmethod
    def candidates(cls, program: Program) -> tuple[str, ...]:  # noqa: ARG003
        """Return the strategies to choose from by measurement."""
        return cls.strategies

    def __init__(
        self,
        program: Program,
        population: Examples,
        *,
        strategy: str,
        like: Trainer | None = None,
        worker: int = 0,  # noqa: ARG002 - all are alike here
    ) -> None:
        """Take the population in; nothing is traced before the first task.

        Args:
            program: The steps of a model that no other thread uses.
            population: Training rows of all clients.
            strategy: One of `strategies`.
            like: Another worker's trainer, whose tensors this one shares if the rows are the same.
            worker: Number of the worker.

        Raises:
            UnknownNameError: If there is no such strategy.
        """
        if strategy not in self.strategies:
            raise UnknownNameError("strategy", strategy, self.strategies)
        self.strategy, self._program, self._population = strategy, program, population
        model = program.model
        variables = (*model.variables, *model.metrics_variables, *model.optimizer.variables)
        self._variables = list({id(v): v for v in variables}.values())
        # Models whose outputs Keras does not know are not padded anyway.
        outputs = [tuple(o.shape[1:]) for o in keras.tree.flatten(getattr(model, "outputs", None) or [])]
        self._pads = pads(model, outputs, training=True)
        weight = () if population.sample_weight is None else (population.sample_weight,)
        self._structure = tuple(
            map_arrays(part, np.ascontiguousarray) for part in (population.x, population.y, *weight)
        )
        leaves = keras.tree.flatten(self._structure)
        with _PROCESS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows may be read-only; nothing writes to them
            shared = like._data if like is not None and like._population is population else None
            made = [keras.ops.convert_to_tensor(a) for a in leaves] if shared is None else shared
            self._data: list[Any] = made
        self._values = [v._value.detach() for v in self._variables]
        model.reset_metrics()
        metrics = [v._value.detach() for v in model.metrics_variables]
        self._fresh = [(v._value.detach(), start) for v, start in program._starts]
        self._fresh += [(value, value.clone()) for value in metrics]
        weights = [v._value.detach() for v in program._weights]
        seeds = [v._value.detach() for v in program._seeds]
        plain = all(t.device.type == "cpu" and t.dtype != torch.bfloat16 for t in weights)
        self._views = [[t.numpy() for t in weights], [t.numpy() for t in seeds]] if plain else None
        self._cores = torch.get_num_threads()
        self._steps: dict[Any, Step] = {}
        self._correct: Any = None
        self._summary: Callable[[list[Any]], Any] | None = None
        self._names: list[str] = []
        self._draws: bool | None = None

    def on(self, population: Examples) -> Trainer:
        """Return this trainer with other rows; what is traced is shared."""
        other = copy.copy(self)
        fresh = Trainer(self._program, population, strategy=self.strategy)
        other._population, other._structure, other._data = population, fresh._structure, fresh._data
        return other

    @property
    def compilations(self) -> int:
        """Number of steps traced and kept: two where short batches may be filled, else one for each size."""
        return len(self._steps)

    def train(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Result:
        """Run the task's minibatches from these weights.

        Args:
            arrays: Weights in the layout's order.
            control: Control variates in the layout's order, or nothing.
            task: What to do; its batches are indices into the population.

        Returns:
            The arrays after training (or start minus mean gradient), number of steps, learning rate at the
            end, and metrics.

        Raises:
            ConfigurationError: If the strategy cannot train this model.
        """
        with self._on_one_core():
            if self.strategy == "eager" or task.private is not None:
                return self._eager(arrays, control, task)
            return self._train_traced(arrays, control, task)

    @contextlib.contextmanager
    def _on_one_core(self) -> Iterator[None]:
        """Keep a worker's thread to one core, since others work at the same time; not the main thread."""
        if threading.current_thread() is threading.main_thread():
            yield
            return
        with _COUNTING:
            _WORKING[0] += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with _COUNTING:
                _WORKING[0] -= 1
                # Part of it is the whole process': set while another worker computes, its sums would be split
                # in another way. It is also what PyTorch gives to threads that begin later.
                if not _WORKING[0]:
                    torch.set_num_threads(self._cores)

    # ------------------------------------------------------------------ eager

    def _eager(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Result:
        if self._draws is False:
            return self._eager_steps(arrays, control, task)
        with _PROCESS, torch.random.fork_rng():
            torch.manual_seed(task.seed)
            before = torch.get_rng_state()
            result = self._eager_steps(arrays, control, task)
            self._draws = bool(self._draws) or not torch.equal(before, torch.get_rng_state())
        return result

    def _eager_steps(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Result:
        program, steps = self._program, 0
        extra = self._begin(arrays, control, task)
        sums: list[Any] = [torch.zeros(()), 0]
        if task.kind == "gradient" and task.private is None:
            weights, steps = program._mean_gradient(arrays, self._population, task, sums)
        else:
            steps = program._steps(self._population, task, sums, extra)
            weights = self._end()
        return weights, steps, self._rate(), program._results(sums)

    def _begin(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Any:
        """Load weights and fresh state; return what gradients are corrected with."""
        optimizer = self._program.model.optimizer
        bridge.check_learning_rate(optimizer, task.learning_rate)
        self._load(arrays, task.seed)
        if task.learning_rate is not None:
            optimizer.learning_rate = task.learning_rate
        return self._program._correction(arrays, control, task)

    def _load(self, arrays: Sequence[Array], seed: int) -> None:
        """Do what `Program._load` does, with less of Keras in between."""
        if self._views is None:
            return self._program._load(arrays, seed)
        weights, seeds = self._views
        for view, array in zip(weights, arrays, strict=True):
            np.copyto(view, array)
        for position, view in enumerate(seeds):
            view[:] = (seed, position)
        variables, values = (list(part) for part in zip(*self._fresh, strict=True))
        _copy_all(variables, values)
        return None

    def _end(self) -> list[Array]:
        optimizer = self._program.model.optimizer
        if bridge.averages_weights(optimizer):
            optimizer.finalize_variable_values(self._program._trainable)
        return self._program.initial()

    def _rate(self) -> float:
        rate: Any = keras.ops.convert_to_tensor(self._program.model.optimizer.learning_rate)
        return float(rate.detach())

    # ------------------------------------------------------------------ traced

    def _train_traced(self, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask) -> Result:
        batches = [np.asarray(rows, np.int64) for rows in task.batches]
        keys = {len(rows): self._key(len(rows), control, task) for rows in batches}
        if task.correct != self._correct:
            self._steps, self._correct = {}, task.correct
        for size, key in keys.items():
            if key not in self._steps:
                rows = next(rows for rows in batches if len(rows) == size)
                with _PROCESS:
                    if not self._steps:
                        self._summary = self._record_summary()
                    self._steps[key] = self._record(key, rows, arrays, control, task)
        return self._traced(arrays, control, task, batches=batches, keys=keys, steps=self._steps)

    def _key(self, rows: int, control: Sequence[Array], task: LocalTask) -> tuple[Any, ...]:
        """Return what a recorded step depends on: its rows, whether some are filled up, kind, correction."""
        size = padded_size(task.batch_size, rows=rows) if self._pads else rows
        return size, size > rows, task.kind, task.correct is not None, len(control) > 0

    def _traced(
        self,
        arrays: Sequence[Array],
        control: Sequence[Array],
        task: LocalTask,
        *,
        batches: list[Array],
        keys: dict[int, Any],
        steps: dict[Any, Step],
    ) -> Result:
        extra = self._begin(arrays, control, task)
        state, total = self._extra_state(extra, task), self._zero()
        noise = torch.Generator().manual_seed(task.seed)
        with torch.inference_mode():
            for key, group in itertools.groupby(batches, lambda rows: keys[len(rows)]):
                indices, masks = _stack(list(group), size=key[0], filled=key[1])
                steps[key](indices, masks, self._data, [*self._values, *state, total], noise)
        rows = sum(map(len, batches))
        if task.kind == "gradient":
            pairs = zip(self._program._trainable, state, strict=True)
            means = {id(v): t.cpu().numpy() / max(rows, 1) for v, t in pairs}
            weights = [
                start - means[id(v)] if id(v) in means else weight
                for v, start, weight in zip(
                    self._program._weights, arrays, self._program.initial(), strict=True
                )
            ]
        else:
            weights = self._end()
        return weights, len(batches), self._rate(), self._results(total, rows)

    def _results(self, total: Any, rows: int) -> Metrics:
        if self._summary is None:
            return self._program._results([total, rows])
        values = self._summary(self._values).tolist() if self._names else []
        return {"loss": float(total) / max(rows, 1), **dict(zip(self._names, values, strict=True))}

    def _extra_state(self, extra: Any, task: LocalTask) -> list[Any]:
        if task.kind == "gradient":
            return [torch.zeros_like(v._value, dtype=torch.float32) for v in self._program._trainable]
        return [tensor for part in extra for tensor in part]

    def _record(
        self, key: Any, rows: Array, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask
    ) -> Step:
        """Trace one step and check it."""
        try:
            step = self._trace(key, rows, arrays, control, task)
            problem = self._check({key: step}, rows, arrays, control, task)
        except ConfigurationError:
            raise
        except Exception as error:
            told = (str(error).strip().splitlines() or ["no message"])[0]
            raise ConfigurationError(
                f"a training step of this model cannot be traced ({type(error).__name__}: {told}). "
                "Use the eager strategy."
            ) from error
        if problem is not None:
            raise ConfigurationError(
                f"a traced training step of this model {problem}. Use the eager strategy."
            )
        return step

    def _trace(
        self, key: Any, rows: Array, arrays: Sequence[Array], control: Sequence[Array], task: LocalTask
    ) -> Step:
        extra = self._extra_state(self._begin(arrays, control, task), task)
        learned = [v._value.requires_grad for v in self._variables]
        state = [t.detach().requires_grad_(g) for t, g in zip(self._values, learned, strict=True)]
        indices, masks = _stack([rows], size=key[0], filled=key[1])
        batch = [torch.index_select(d, 0, indices[0]) for d in self._data]
        body = functools.partial(self._step, task)
        trace = make_fx(body, tracing_mode="fake", _allow_non_fake_inputs=True)
        traced = trace(batch, [masks[0]] if key[1] else [], [*state, *extra, self._zero()])
        return compile_trace(traced, leaves=len(batch), masked=key[1])

    def _check(
        self,
        steps: dict[Any, Step],
        rows: Array,
        arrays: Sequence[Array],
        control: Sequence[Array],
        task: LocalTask,
    ) -> str | None:
        """Return what is wrong with a traced step, or None."""
        batches = [rows, (rows + 1) % len(self._population)]
        self._eager(arrays, control, dataclasses.replace(task, batches=batches[:1]))
        before = _plain_state(self._program.model)
        expected = self._eager(arrays, control, dataclasses.replace(task, batches=batches)), self._kept()
        if before != _plain_state(self._program.model):
            return "would leave out that it changes Python attributes"
        keys = {len(rows): next(iter(steps))}
        found = self._traced(arrays, control, task, batches=batches, keys=keys, steps=steps), self._kept()
        if not _agree(found, expected):
            return "gives other numbers than an eager one (does it keep Python state, or draw its own noise?)"
        return None

    def _zero(self) -> Any:
        return torch.zeros((), device=self._values[0].device)

    def _kept(self) -> list[Any]:
        """Return copies of all variables but those of metrics, which may differ where rows were filled."""
        metrics = {id(v) for v in self._program.model.metrics_variables}
        return [v._value.detach().clone() for v in self._variables if id(v) not in metrics]

    @contextlib.contextmanager
    def _in_place_of_variables(self, tensors: Sequence[Any]) -> Iterator[None]:
        """Let these tensors be the variables' values inside the block."""
        own = [v._value for v in self._variables]
        # Keras' fused updates read the learning rate as a Python number, which a trace would keep.
        optimizer = self._program.model.optimizer
        plain = functools.partial(keras.optimizers.Optimizer._backend_update_step, optimizer)
        vars(optimizer)["_backend_update_step"] = plain
        try:
            for variable, value in zip(self._variables, tensors, strict=True):
                variable._value = value
            yield
        finally:
            del vars(optimizer)["_backend_update_step"]
            for variable, value in zip(self._variables, own, strict=True):
                variable._value = value

    def _step(self, task: LocalTask, batch: list[Any], masks: list[Any], state: list[Any]) -> None:
        """Do one step on these tensors: rows, which are real, and variables with what comes beside them."""
        program, optimizer, count = self._program, self._program.model.optimizer, len(self._variables)
        with self._in_place_of_variables(state[:count]):
            loss = self._forward(batch, masks[0] if masks else None)
            rows = masks[0].sum() if masks else len(batch[0])
            state[-1].add_(loss.detach().float() * rows)
            loss = loss if task.kind == "gradient" else optimizer.scale_loss(loss)
            values = [v.value for v in program._trainable]
            grads = torch.autograd.grad(loss, values, allow_unused=True)
            grads = [torch.zeros_like(v) if g is None else g for g, v in zip(grads, values, strict=True)]
            with torch.no_grad():
                if task.kind == "gradient":
                    for total, grad in zip(state[count:-1], grads, strict=True):
                        total.add_(grad.float() * rows)
                    return
                if task.correct is not None:
                    middle = count + len(grads)
                    extra = (values, state[count:middle], state[middle:-1])
                    grads = [task.correct(*each) for each in zip(grads, *extra, strict=True)]
                optimizer.apply(grads, program._trainable)

    def _summarise(self, state: list[Any]) -> Any:
        """Return all metrics' results as one tensor."""
        with torch.no_grad(), self._in_place_of_variables(state):
            results = bridge.metric_tensors(self._program.model)
            self._names = list(results)
            return torch.stack([self._zero(), *(value.float().mean() for value in results.values())])[1:]

    def _record_summary(self) -> Callable[[list[Any]], Any] | None:
        """Trace the metrics' results, or return None where they depend on Python."""
        try:
            trace = make_fx(self._summarise, tracing_mode="fake", _allow_non_fake_inputs=True)
            run = compile_trace(trace(self._values), leaves=0, masked=False)
        except Exception:
            return None
        nothing = torch.zeros(0)
        return lambda state: run(nothing, nothing, [], state, torch.default_generator)

    def _forward(self, batch: list[Any], mask: Any) -> Any:
        model = self._program.model
        x, y, *weights = keras.tree.pack_sequence_as(self._structure, batch)
        weight = weights[0] if weights else None
        y_pred = model(x, training=True)
        loss_weight = weight
        if mask is not None:
            # A mean over the filled batch becomes the mean over its real rows.
            loss_weight = mask * (len(mask) / mask.sum())
            loss_weight = loss_weight if weight is None else weight * loss_weight
        loss = bridge.compute_loss(model, x, y, y_pred, loss_weight, training=True)
        with torch.no_grad():
            if mask is None:
                bridge.update_metrics(model, x, y, y_pred, weight)
            else:
                bridge.update_padded_metrics(model, y, y_pred, weight, mask)
        return loss


def _stack(batches: list[Array], *, size: int, filled: bool) -> tuple[Any, Any]:
    """Return indices and masks of batches, each filled up to the size with its first row."""
    if not filled:
        indices, masks = np.concatenate(batches).reshape(len(batches), size), np.zeros(0, np.float32)
    else:
        indices = np.stack([np.append(rows, np.full(size - len(rows), rows[0])) for rows in batches])
        masks = np.stack([np.arange(size) < len(rows) for rows in batches]).astype(np.float32)
    return keras.ops.convert_to_tensor(indices), keras.ops.convert_to_tensor(masks)


def _plain_state(model: Any) -> list[Any]:
    """Return what the model's objects keep in plain Python attributes."""
    compiled = () if model._compile_metrics is None else model._compile_metrics.metrics
    objects = [model.optimizer, *model._flatten_layers(), *model.metrics, *compiled, *flat_losses(model)]
    plain = (bool, int, float, str)
    return [
        {
            k: v if isinstance(v, plain) else len(v)
            for k, v in vars(o).items()
            if isinstance(v, (*plain, list, dict))
        }
        for o in objects
    ]


def _agree(found: Any, expected: Any) -> bool:
    (weights, steps, rate, metrics), state = found
    (weights_, steps_, rate_, metrics_), state_ = expected
    pairs = [*zip(state, state_, strict=True)]
    pairs += [(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(weights, weights_, strict=True)]
    pairs += [(torch.tensor(float(metrics[k])), torch.tensor(float(v))) for k, v in metrics_.items()]
    return steps == steps_ and rate == rate_ and all(map(_close, *zip(*pairs, strict=True)))


def _close(found: Any, expected: Any) -> bool:
    if not expected.dtype.is_floating_point:
        return torch.equal(found, expected)
    tolerance = 1e-4 if expected.dtype == torch.float32 else 2e-2
    return torch.allclose(found, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True)
