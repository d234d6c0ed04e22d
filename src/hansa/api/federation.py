"""The federation: what a user declares, fits and looks at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hansa import bridge
from hansa.algorithms.algorithm import Algorithm
from hansa.algorithms.fedavg import FedAvg
from hansa.api.callbacks import Callbacks, check_callbacks
from hansa.api.certify import certified_keys
from hansa.api.describe import clients_settings, learner_settings, model_summary
from hansa.api.environment import environment
from hansa.api.inputs import (
    as_claims,
    as_compress,
    as_engine,
    as_folder,
    as_privacy,
    as_quantise,
    as_rows,
    as_target,
    check_rounds,
    check_texts,
    checked_optimizer,
)
from hansa.api.interrupts import held_back
from hansa.api.keeping import OWN_FILES, engine_of, now, open_run, recover
from hansa.api.keys import pinned, secret_for, with_keys
from hansa.api.ledger import (
    aggregate_of,
    check_planned,
    check_population,
    cohort_of,
    settle,
    spent_by_silo,
)
from hansa.api.localise import Localised, check_learner, check_validation, localise
from hansa.api.loop import INTERRUPTED, Outcome, Progress, check_target, run_rounds
from hansa.claims.claims import Claims
from hansa.cohort import Cohort
from hansa.data.client import as_clients
from hansa.data.describe import describe_examples
from hansa.data.sources import as_examples
from hansa.encode import EightBits, Quantise, TopK
from hansa.engine import Declared, Engine
from hansa.engine.engine import told
from hansa.errors import ConfigurationError, RunError
from hansa.plan import Plan
from hansa.privacy import ClientLevel, Guarantee, Privacy, RecordDP
from hansa.record import RoundRecord
from hansa.report.data import Comparison, ReportData
from hansa.report.page import write_report
from hansa.rng import Seeds
from hansa.round import first_state
from hansa.secure_sum import Plain, SecureSum, as_secure_sum
from hansa.server.aggregate import Aggregate
from hansa.store.run import Run
from hansa.train.keras_learner import KerasLearner
from hansa.train.learner import Learner
from hansa.tree import flat_weights, vector_hash
from hansa.types import Examples, Memory, Metrics

_OF_A_RUN = ("_plan", "_engine", "_times", "_outcome", "records", "run_folder")


class Federation:
    """Several parties that train one model without pooling their data.

    Example:
        >>> import numpy as np, hansa, keras
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
        ...     model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
        ...     return model
        >>> x = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
        >>> clients = hansa.data.iid(x, (x[:, 0] > 0).astype("int64"), clients=4)
        >>> history = hansa.Federation(build, clients, seed=1).fit(rounds=5)
        >>> history.history["loss"][0] > history.history["loss"][-1]
        True

    Attributes:
        records: What each finished round did.
        status: How the last `fit` ended.
        run_folder: Where the run is kept, or None.
    """

    def __init__(
        self,
        model: Callable[[], Any] | Learner,
        clients: Any,
        *,
        algorithm: Algorithm | None = None,
        cohort: Cohort | int | None = None,
        aggregate: Aggregate | None = None,
        compress: TopK | EightBits | None = None,
        quantise: Quantise | float | None = None,
        secure_sum: SecureSum | str | None = None,
        privacy: Privacy | None = None,
        claims: Claims | None = None,
        server_optimizer: Any = None,
        engine: Declared | str = "local",
        initial_weights: Any = None,
        class_weight: Mapping[int, float] | None = None,
        seed: int = 0,
        title: str = "Federated training",
    ) -> None:
        """Declare a federation. Nothing is read or built yet; `prepare` and `fit` do that.

        Args:
            model: A function of no arguments that returns a compiled `keras.Model`, or a `Learner`.
            clients: Clients, or a mapping from name to a source, to ``(x, y)`` or to
                ``(x, y, sample_weight)``.
            algorithm: What clients and server compute; FedAvg with one local epoch if None.
            cohort: Who takes part in a round: None for all, a number, `FixedSize` or `Poisson`.
            aggregate: ``"examples"`` weighs updates by training rows, ``"uniform"`` does not; or a function
                of updates ``(n, d)`` and weights ``(n,)`` that returns one vector ``(d,)``. None is the
                first, or the second where ``privacy`` protects whole clients.
            compress: How updates are made smaller for a plain sum: `TopK` (the largest coordinates, the rest
                later) or `EightBits`.
            quantise: How updates become integers: `Quantise`, or the norm to clip them to. None leaves them
                floats with a plain sum, and is ``Quantise()`` with any other.
            secure_sum: How the sum of updates comes about: ``"plain"`` (the server sees each), ``"sealed"``,
                ``"masking"``, or a declaration: `Sealed(threshold=3)`. None is plain.
            privacy: A plan of differential privacy (`hansa.privacy`), or None. One that protects whole
                clients brings its own cohort and weights.
            claims: What every client proves of its training rows before the first round
                (`hansa.claims.Claims`), or None.
            server_optimizer: A `keras.optimizers.Optimizer` for the server's step, or None to take the mean.
            engine: Where clients run: ``"local"`` (this process, one after another), ``"vector"`` (all cores
                of this machine, compiled), ``"ray"`` (a cluster), or a declaration: `Vector(workers=2)`.
            initial_weights: List of arrays (as `keras.Model.get_weights`) or a flat vector; None takes
                those of the model function under the run's seed.
            class_weight: Weight of each class in the clients' loss.
            seed: Root of all randomness of the run, 0 or greater.
            title: Title of the run in logs and report.

        Raises:
            ConfigurationError: If a part is not of the right kind.
        """
        self.backend = bridge.choose_backend()
        self.clients = as_clients(clients)
        self.learner: Learner = model if isinstance(model, (KerasLearner, Learner)) else KerasLearner(model)
        self.algorithm = FedAvg() if algorithm is None else algorithm
        if not isinstance(self.algorithm, Algorithm):
            raise ConfigurationError(
                f"algorithm must be an Algorithm such as hansa.FedAvg(epochs=1), got {algorithm!r}."
            )
        self.privacy = as_privacy(privacy)
        self.cohort = cohort_of(self.privacy, cohort)
        self.cohort.check(len(self.clients))
        check_population(self.privacy, len(self.clients))
        self.aggregate: Aggregate = aggregate_of(self.privacy, aggregate)
        self.compress = as_compress(compress)
        self.quantise = as_quantise(quantise)
        self.secure_sum = Plain() if secure_sum is None else as_secure_sum(secure_sum)
        self.claims = as_claims(claims)
        self.server_optimizer = checked_optimizer(server_optimizer)
        self.engine = as_engine(engine)
        self.class_weight = class_weight
        self.seeds = Seeds(seed)
        self.title = title
        self.records: list[RoundRecord] = []
        self.status = INTERRUPTED
        self.run_folder: Path | None = None
        self._initial = initial_weights
        self._localised: Localised | None = None
        self._outcome: Outcome | None = None
        self._plan: Plan | None = None
        self._engine: Engine | None = None
        self._times: list[str] = []
        self._secret = b""

    def __repr__(self) -> str:
        done = f"{len(self.records)} rounds, {self.status}" if self.records else "not fitted"
        algorithm = type(self.algorithm).__name__
        return f"<Federation {self.title!r}: {len(self.clients)} clients, {algorithm}, {done}>"

    def protect(self, privacy: Privacy) -> None:
        """Put a plan of differential privacy in, in place of cohort and weights where it brings its own."""
        self.privacy = as_privacy(privacy)
        check_population(self.privacy, len(self.clients))
        if isinstance(privacy, ClientLevel):
            self.cohort, self.aggregate = cohort_of(privacy, None), aggregate_of(privacy, None)
            self.cohort.check(len(self.clients))

    # ------------------------------------------------------------------ before the first round

    def prepare(self) -> Localised:
        """Let every client localise its data, and build the model. `fit` calls it if need be.

        Raises:
            DataError: If a client's data are unusable.
            ConfigurationError: If the model does not match the data.
        """
        if self._localised is None:
            localised = localise(
                self.clients,
                secure_sum=self.secure_sum.anywhere(),
                keep=self.engine.keeps_rows,
                claims=self.claims,
            )
            first = next(iter(localised.sites.values())).data.train.whole()
            self.learner.build(first, self.seeds.integer("weights"))
            check_learner(self.learner, localised.cards)
            self._localised = localised
        return self._localised

    def plan(self, *, server_validates: bool = False, **evaluation: Any) -> Plan:
        """Return the plan of a run: every stage, checked against all others."""
        localised = self.prepare()
        if isinstance(self.privacy, RecordDP) and isinstance(self.learner, KerasLearner):
            self.learner.check_private()
        layout = self.learner.layout()
        given = self.learner.initial_weights() if self._initial is None else self._initial
        return Plan(
            clients=tuple(localised.sites),
            cards=localised.cards,
            layout=layout,
            initial=flat_weights(given, layout),
            algorithm=self.algorithm,
            cohort=self.cohort,
            aggregate=self.aggregate,
            compress=self.compress,
            quantise=self.quantise,
            secure_sum=self.secure_sum,
            privacy=self.privacy,
            seed=self.seeds.root,
            server_optimizer=self.server_optimizer,
            class_weight=self.class_weight,
            metrics=() if self.secure_sum.sends_update else self._metric_names(),
            corrects_gradients=self.learner.corrects_gradients,
            plain_sgd=self.learner.plain_sgd,
            private_steps=getattr(self.learner, "private_steps", False),
            server_validates=server_validates,
            **evaluation,
        )

    def _metric_names(self) -> tuple[str, ...]:
        """Return the names of the metrics that clients measure, which a secure sum of them must know."""
        rows = next(iter(self.prepare().sites.values())).data.train.whole()
        first = rows.take(np.arange(1))
        return tuple(self.learner.evaluate(self.learner.initial_weights(), first, 1))

    # ------------------------------------------------------------------ training

    def fit(
        self,
        rounds: int,
        *,
        validation: Any = None,
        callbacks: Iterable[Any] | None = None,
        target: Mapping[str, float] | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
        clients_validate: Literal["all", "cohort", "none"] = "all",
        validation_freq: int = 1,
        local_metrics: bool = False,
        keep: Mapping[str, str] | None = None,
        verifiable: bool = True,
    ) -> Any:
        """Train from the initial weights for a number of rounds.

        Args:
            rounds: Number of rounds, 1 or more; with ``resume`` those done already count.
            validation: The server's own test rows: ``(x, y)``, ``(x, y, sample_weight)`` or `Examples`.
            callbacks: Keras callbacks; a round is an epoch to them.
            target: Stop when this log reaches this value, for example ``{"val_accuracy": 0.97}``.
            run: Folder to keep the run in: configuration, log, checkpoints, history, model and report.
            resume: Go on with the run in that folder. The final model is the same, bit for bit, as without
                the interruption.
            progress: Shows how it goes, for example ``hansa.ui.TerminalProgress()``.
            clients_validate: Which clients measure each new model on their own validation rows.
            validation_freq: Evaluate every so many rounds.
            local_metrics: Let clients also measure before and after their local training.
            keep: Texts to keep in the run's folder, by file name, written before the first round.
            verifiable: Keep in the run's folder what clients send to a sealed sum, so that anyone can verify
                the run (`hansa.verify`): 8 bytes for each parameter, client and round, and the proofs.

        Returns:
            A `keras.callbacks.History`. Logs are ``loss``, ``<metric>`` (training), ``val_*`` (the
            server's rows, else the clients' mean) and ``clients_val_*``.

        Raises:
            ConfigurationError: If something declared cannot work.
            DataError: If a client's data are unusable.
            RoundError: If a round cannot be finished; earlier rounds are kept.
            RunError: If the folder cannot be written, read or resumed.
        """
        check_rounds(rounds)
        wanted = as_target(target)
        rows, folder = None if validation is None else as_rows(validation), as_folder(run)
        check_texts(keep or {}, reserved=OWN_FILES)
        if resume and folder is None:
            raise RunError("resume=True needs run=..., the folder of the run to go on with.")
        plan = self.plan(
            server_validates=rows is not None,
            clients_validate=clients_validate,
            validation_freq=validation_freq,
            local_metrics=local_metrics,
        )
        check_target(wanted, plan)
        goes_on = resume and folder == self.run_folder
        check_planned(plan, rounds, released=0 if goes_on else self._released)
        settle(plan, progress)
        localised = self.prepare()
        if rows is not None:
            check_validation(rows, self.learner, localised.cards)
        begun = engine_of(folder) if resume and folder is not None else {}
        before = {name: getattr(self, name) for name in _OF_A_RUN}
        keys, shown = certified_keys(plan, self.claims, localised.claimed, folder if resume else None)
        self._secret, self._engine = secret_for(plan, folder if resume else None), None
        seeds = dataclasses.replace(self.seeds, secret=self._secret)
        plan = pinned(plan, keys, lambda known: self.describe(known, rows))
        hooks = Callbacks(check_callbacks(callbacks), learner=self.learner, plan=plan, rounds=rounds)
        engine = self.engine.start(
            plan,
            with_keys(plan, localised.sites, keys),
            self.learner,
            seeds,
            server=rows,
            known=begun,
        )
        self._plan, self._engine, self._times = plan, engine, [now()]
        self._outcome = outcome = Outcome(state=first_state(plan))
        self.records = outcome.records
        self.run_folder = folder
        store = None
        try:
            if folder is not None:
                store = open_run(
                    folder,
                    self.describe(plan, rows),
                    resume=resume,
                    texts=keep or {},
                    cards=plan.cards,
                    model=model_summary(self.learner, plan),
                    preprocessing=localised.preprocessing,
                    engine=self._engine_told(),
                    keys=keys,
                    certified=shown,
                    secret=seeds.secret,
                    time=self._times[0],
                    initial=plan.initial,
                )
        except BaseException:
            engine.close()
            # Nothing has begun: what was trained before is still here, and what it spent is still spent.
            vars(self).update(before)
            raise
        try:
            past = () if store is None else recover(store, outcome, engine, looks=hooks.looks)
            if progress is not None:
                kind = engine.facts()["kind"]
                backend = bridge.backend_version(self.backend)
                backend += "" if kind == "local" else f", {kind} engine"
                progress.begin(
                    title=self.title,
                    rounds=rounds,
                    done=len(outcome.records),
                    clients=len(self.clients),
                    backend=backend,
                )
            run_rounds(
                outcome,
                plan=plan,
                engine=engine,
                seeds=seeds,
                rounds=rounds,
                callbacks=hooks,
                target=wanted,
                run=store,
                progress=progress,
                past=past,
                verifiable=verifiable,
            )
        except BaseException as error:
            try:
                self._finish(outcome, store, progress)
            except Exception as second:
                error.add_note(f"Afterwards, closing the run failed as well: {second}")
            raise
        self._finish(outcome, store, progress)
        return hooks.history

    def _finish(self, outcome: Outcome, store: Run | None, progress: Progress | None) -> None:
        """Note how the run ended, wherever it did."""
        self._times.append(now())
        if self._engine is not None:
            self._engine.close()
        self.status = outcome.status
        if progress is not None:
            progress.end(outcome.status)
        if store is not None:
            with held_back():
                self._close(store)

    def _close(self, store: Run) -> None:
        """Write what people look at, note how the run ended, and close the folder."""
        try:
            if self._outcome is not None and self._outcome.records:
                state = self._outcome.state
                store.note(
                    self.status.split()[0],
                    {
                        "rounds": state.round,
                        "model_hash": vector_hash(state.weights),
                        "time": self._times[-1],
                    },
                )
                if isinstance(self.learner, KerasLearner):
                    self.save(store.folder / "model.keras")
                    (store.folder / "model.keras").chmod(0o600)
                self.report(store.folder / "report.html").chmod(0o600)
        finally:
            store.close()

    # ------------------------------------------------------------------ afterwards

    @property
    def weights(self) -> Any:
        """The global weights, flat float32: after the last finished round, or the initial ones."""
        if self._outcome is None or self._plan is None:
            raise ConfigurationError("nothing is trained yet; call fit first.")
        return self._plan.full(self._outcome.state.weights)

    @property
    def preprocessing(self) -> Sequence[Mapping[str, Any]]:
        """What was done to the features before the model sees them, for use of the model on new rows.

        Vocabularies of text columns with their ``categories``, the most frequent first. Then transforms in
        order; a federated one has its numbers, one for each feature: ``(x - center) / scale``
        for scaling, ``missing_becomes`` for imputation, ``edges`` of bins. A local one has none: every
        client has its own.
        """
        return self.prepare().preprocessing

    def guarantee(self) -> Guarantee:
        """Return what differential privacy promises after the rounds that are done.

        Raises:
            ConfigurationError: If the federation has no plan of privacy.
        """
        if self.privacy is None:
            raise ConfigurationError(
                "this federation has no plan of privacy, and promises none. Give "
                "privacy=hansa.privacy.CentralDP(...)."
            )
        private = (self._plan or self.plan()).private or self.privacy
        return private.guarantee(self._released)

    @property
    def _released(self) -> int:
        """Rounds whose results somebody has seen: those done, and one that a callback broke off."""
        return max(len(self.records), 0 if self._outcome is None else self._outcome.released)

    @property
    def memories(self) -> Mapping[str, Memory]:
        """What each client keeps from round to round (personal layers, control variates), in simulation."""
        return {} if self._engine is None else self._engine.memories

    @property
    def model_hash(self) -> str:
        """SHA-256 of the shared global weights, hexadecimal."""
        if self._outcome is None:
            raise ConfigurationError("nothing is trained yet; call fit first.")
        return vector_hash(self._outcome.state.weights)

    @property
    def model(self) -> Any:
        """The Keras model with the global weights in it."""
        if not isinstance(self.learner, KerasLearner):
            raise ConfigurationError("this federation's learner is not Keras; use federation.weights.")
        return self.learner.load(self.weights)

    def save(self, path: str | Path) -> None:
        """Write the Keras model with the global weights to a ``.keras`` file, atomically."""
        path = Path(path)
        partial = path.with_name(f".partial-{path.name}")
        try:
            self.model.save(partial)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunError(f"the model cannot be written to {path}: {error}") from error

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> Metrics:
        """Return loss and metrics of the global weights on these rows."""
        rows = as_examples(x, y, sample_weight=sample_weight)
        return self.learner.evaluate(self.weights, rows, 256)

    def describe(self, plan: Plan, rows: Examples | None = None) -> dict[str, Any]:
        """Return the resolved configuration: everything that decides the result, JSON-able."""
        return {
            "title": self.title,
            "seed": self.seeds.root,
            "backend": self.backend,
            **plan.describe(),
            **self._claims_settings(),
            **self._engine_settings(),
            "initial_weights": vector_hash(plan.initial),
            **learner_settings(self.learner),
            "validation": None if rows is None else describe_examples(rows),
            "clients": clients_settings(self.clients, hide=None if plan.private is None else self._secret),
        }

    @property
    def verifiable(self) -> bool:
        """Whether anyone can verify the last run from its folder's log (`hansa.verify`)."""
        plan = self._plan
        return plan is not None and plan.sums.verifiable and plan.is_public("train")

    def _claims_settings(self) -> dict[str, Any]:
        claimed = self.prepare().claimed
        return {} if claimed is None else {"claims": claimed.terms.describe()}

    def _engine_settings(self) -> dict[str, Any]:
        settings = {} if self._engine is None else self._engine.describe()
        return {"engine": settings} if settings else {}

    def _engine_told(self) -> dict[str, str]:
        return {} if self._engine is None else {"Engine": told(self._engine.facts())}

    def report_data(self, comparison: Comparison | None = None, summary: str = "") -> ReportData:
        """Return what the report shows."""
        if self._plan is None or self._localised is None:
            raise ConfigurationError("nothing is trained yet; call fit first.")
        return ReportData(
            title=self.title,
            summary=summary,
            config=self.describe(self._plan),
            guarantee=None if self._plan.private is None else self.guarantee(),
            silos=spent_by_silo(self._plan, len(self.records)),
            records=tuple(self.records),
            cards=self._localised.cards,
            comparison=comparison,
            environment={**environment(), **self._engine_told()},
            model_summary=model_summary(self.learner, self._plan),
            status=self.status,
            seed=self.seeds.root,
            run_folder="" if self.run_folder is None else str(self.run_folder),
            started=self._times[0],
            finished=self._times[-1],
        )

    def report(self, path: str | Path, *, comparison: Comparison | None = None, summary: str = "") -> Path:
        """Write the report of the last run as one HTML file and return its path."""
        write_report(self.report_data(comparison, summary), Path(path))
        return Path(path)
