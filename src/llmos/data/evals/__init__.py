"""Runs of evals: what was asked, every answer, and the verdict; encrypted, kept for each project.

A run is written down before its first case is asked, and each answer as soon as its checks are made, so that a run that
was killed goes on where it stopped.

Lower layers don't know higher ones:

    executing
    eval_runs
    queries
    tables
"""

from llmos.data.evals.eval_runs import EvalRuns, NewEvalRun, OpenRun

__all__ = ["EvalRuns", "NewEvalRun", "OpenRun"]
