"""Smaller versions of a model: quantization, pruning and their calibration."""
