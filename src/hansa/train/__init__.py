"""Stage: local training. A learner turns start weights and rows into new weights and metrics."""
