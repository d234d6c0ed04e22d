"""Federated learning for parties who need not trust each other, native to Keras 3."""
