"""Stage: differential privacy. Plans, their noise, and the accountant that says what they promise."""
