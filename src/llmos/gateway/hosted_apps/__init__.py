"""Deployed applications: a process for each, and their runs behind the interface of a model."""
