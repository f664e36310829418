"""Inference endpoints of LLMOS's own: generate, rerank and score."""
