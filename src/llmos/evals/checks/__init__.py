"""Checks: what must hold for an answer. A check is a kind with its value, may be negated, and has a weight.

    - contains: two years
    - not_matches: "(?i)guarantee"
    - {chrf: {reference: Guten Morgen, at_least: 0.6}, weight: 2}

`kinds.py` lists the kinds. Those of texts and of figures need nothing but the answer; others ask a model or run a
program, through what a run gives them (`Helpers`).
"""

from llmos.evals.checks.check import Check, Finding, Helpers, Subject
from llmos.evals.checks.kinds import KINDS, read_check

__all__ = ["KINDS", "Check", "Finding", "Helpers", "Subject", "read_check"]
