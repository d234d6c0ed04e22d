"""Engines answer Asks. They move messages and know nothing of learning."""

from hansa.engine.local import LocalEngine

__all__ = ["LocalEngine"]
