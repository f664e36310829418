"""ServerRole: which parts of a server one process is, where several share an installation."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerRole:
    """The parts of a server. `llmos serve` is all of them, unless its options take some away."""

    answers_callers: bool = True
    """The API and the console. Without it: /health and /metrics only, and models are loaded for batches and jobs."""
    runs_replicas: bool = True
    """Replicas on its own machine. Without it: those of deployments on nodes only."""
    runs_jobs: bool = True
    """Batches and jobs."""


WORKER = ServerRole(answers_callers=False)
"""The role of `llmos worker`, which runs batches and jobs."""
