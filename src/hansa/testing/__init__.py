"""Checks that every implementation of an interface must pass, for Hansa's own and for third parties'."""
