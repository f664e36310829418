"""Runs of evals that a home has, without a model that answers."""

import asyncio

from llmos.cli.control.local import LocalControl
from llmos.data.evals import EvalRuns, NewEvalRun
from llmos.data.evals.executing import execute
from llmos.security.permissions import OWNER
from support.evals import ScriptedAsker, suite_of

_SUITE = "cases: [{id: a, input: x, expect: {contains: x}}]\nname: echoes"


def keep_runs(control: LocalControl, num: int) -> None:
    """Keep runs that have finished."""
    control.keys_of_data.start()
    runs = EvalRuns(control.registry.database, control.keys_of_data)
    for _ in range(num):
        new = NewEvalRun(suite=suite_of(_SUITE), models=["tiny"], num_repeats=1)
        id = runs.begin(OWNER, new).id
        asker = ScriptedAsker(lambda prompt, _: prompt)
        asyncio.run(execute(runs, runs.open(OWNER, id), asker, num_in_flight=1))
