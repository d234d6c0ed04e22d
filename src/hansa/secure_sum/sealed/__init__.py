"""The sealed sum: additive Ring-LWE encryption, of which only the sum of the keys is ever opened."""
