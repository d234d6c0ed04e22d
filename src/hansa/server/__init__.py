"""Stage: what the server decides and computes: who takes part, the mean, and the step from it."""
