"""Averages of the clients' metrics, under the names that Keras callbacks expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hansa.types import Metrics


def average_metrics(measured: Iterable[tuple[float, Metrics]]) -> dict[str, float]:
    """Return the mean of each metric, weighted by the number of rows it was measured on.

    Args:
        measured: Pairs of number of rows and metrics, one a client. Clients without rows do not count.
    """
    pairs = [(float(rows), metrics) for rows, metrics in measured if rows > 0 and metrics]
    names = dict.fromkeys(name for _, metrics in pairs for name in metrics)
    means = {}
    for name in names:
        having = [(rows, metrics[name]) for rows, metrics in pairs if name in metrics]
        means[name] = sum(rows * value for rows, value in having) / sum(rows for rows, _ in having)
    return means


def round_logs(*, training: Metrics, clients: Metrics, central: Metrics | None) -> dict[str, float]:
    """Return a round's logs under Keras' names.

    Args:
        training: Mean metrics of the local training, logged as ``loss``, ``<metric>``.
        clients: Mean metrics on the clients' own validation rows, logged as ``clients_val_*``.
        central: Metrics on the server's validation set, or None if it has none; logged as ``val_*``,
            for which the clients' mean stands in.
    """
    held_out: Mapping[str, float] = clients if central is None else central
    return {
        **training,
        **{f"val_{name}": value for name, value in held_out.items()},
        **{f"clients_val_{name}": value for name, value in clients.items()},
    }
