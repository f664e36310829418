"""Predicts the memory and the time that a model needs on this machine."""
