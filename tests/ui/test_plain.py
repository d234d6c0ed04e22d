import io

from hansa.record import RoundRecord
from hansa.ui import PlainProgress


def record(number: int, **logs: float) -> RoundRecord:
    return RoundRecord(round=number, cohort=("a", "b"), logs=logs)


def test_one_line_per_round_between_a_first_and_a_last():
    out = io.StringIO()
    progress = PlainProgress(out, why="first installed")
    progress.begin(title="Hospitals", rounds=2, done=0, clients=2, backend="JAX 1")
    progress.round(record(0, loss=0.5, accuracy=0.75, val_accuracy=0.7))
    progress.round(record(1, loss=0.25, accuracy=0.8, val_accuracy=0.72))
    progress.end("finished")
    first, one, two, last = out.getvalue().splitlines()
    assert first == "Hospitals | 2 clients | 2 rounds | JAX 1 (first installed)"
    assert one.startswith("round 1/2  loss 0.5000  accuracy 0.7500  val_accuracy 0.7000  clients 2")
    assert two == "round 2/2  loss 0.2500  accuracy 0.8000  val_accuracy 0.7200  clients 2"
    assert last.startswith("finished after round 2/2, in ")
    assert "\x1b" not in out.getvalue()


def test_a_resumed_run_says_where_it_goes_on():
    out = io.StringIO()
    progress = PlainProgress(out)
    progress.begin(title="t", rounds=5, done=3, clients=1, backend="JAX")
    progress.round(record(3, loss=1.0))
    assert out.getvalue().splitlines()[1] == "going on after round 3/5"
    assert out.getvalue().splitlines()[2].startswith("round 4/5  loss 1.0000")


def test_dropped_clients_and_the_wanted_metric_are_told():
    out = io.StringIO()
    progress = PlainProgress(out, metric="auc")
    progress.begin(title="t", rounds=1, done=0, clients=10, backend="JAX")
    progress.round(
        RoundRecord(
            round=0,
            cohort=("a", "b", "c"),
            dropped={"b": "NaN"},
            logs={"loss": 1.0, "accuracy": 0.5, "auc": 0.6},
        )
    )
    line = out.getvalue().splitlines()[1]
    assert "auc 0.6000" in line
    assert "accuracy" not in line
    assert "clients 2/10, 1 dropped" in line


def test_a_model_without_metrics_shows_its_validation_loss():
    out = io.StringIO()
    progress = PlainProgress(out)
    progress.begin(title="t", rounds=1, done=0, clients=2, backend="JAX")
    progress.round(record(0, loss=2.0, val_loss=float("nan")))
    assert "loss 2.0000  val_loss NaN" in out.getvalue()


def test_what_is_spent_is_told_beside_the_metrics():
    out = io.StringIO()
    progress = PlainProgress(out)
    progress.begin(title="t", rounds=1, done=0, clients=2, backend="JAX")
    spent = {"epsilon": 1.23456, "delta": 1e-5}
    progress.round(RoundRecord(round=0, cohort=("a", "b"), logs={"loss": 2.0}, privacy=spent))
    assert "loss 2.0000  ε 1.23 (δ 1e-05)  clients 2" in out.getvalue()
