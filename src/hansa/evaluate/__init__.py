"""Stage: averaging what clients and server measured."""

from hansa.evaluate.average import average_metrics, round_logs

__all__ = ["average_metrics", "round_logs"]
