"""Guardrails: named checks on what goes into a model and what comes out. policies.py puts them together."""
