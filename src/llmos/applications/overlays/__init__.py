"""Overlays: what a field of use adds to an application: prompt, guardrails, a disclaimer, retention and evals."""
