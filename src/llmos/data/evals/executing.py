"""Execution of a kept run: its cases are asked, each answer is kept, and the verdict at the end."""

import asyncio
from collections.abc import Sequence

from llmos.core.group_writer import GroupWriter
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.evals import EvalRunDescription
from llmos.data.evals.eval_runs import EvalRuns, OpenRun
from llmos.evals.asking import Asker, ModelAnswerer
from llmos.evals.attempts import Attempt
from llmos.evals.running import Run
from llmos.evals.verdicts import judge_run


async def execute(
    runs: EvalRuns, opened: OpenRun, asker: Asker, *, num_in_flight: int, progress: Progress = no_progress
) -> EvalRunDescription:
    """Ask what hasn't been asked, keep every answer, and return what the run came to.

    Raises what `progress` raises: so a job stops. Killed or stopped, the run goes on from the answers that are kept.
    """
    # A transaction takes longer than a case.
    writer = GroupWriter(_Keeper(runs, opened, progress).keep)
    run = Run(
        suite=opened.suite,
        answerers=[ModelAnswerer(model, opened.suite, asker, opened.num_repeats) for model in opened.models],
        num_repeats=opened.num_repeats,
        num_in_flight=num_in_flight,
        on_attempt=writer.write,
        known=opened.known,
    )
    try:
        await run.run(asker)
    except* Exception as group:
        raise _first(group) from None
    report = await asyncio.to_thread(judge_run, opened.suite, opened.models, run.attempts, run.agreements)
    return await asyncio.to_thread(runs.finish, opened.project, opened.id, report)


class _Keeper:
    """Keeps attempts, and says how many there are."""

    def __init__(self, runs: EvalRuns, opened: OpenRun, progress: Progress) -> None:
        self._runs, self._opened, self._progress = runs, opened, progress
        self._num_done = len(opened.known)
        self._progress("answers", self._num_done, opened.num_total)

    def keep(self, attempts: Sequence[Attempt]) -> None:
        self._runs.keep(self._opened.project, self._opened.id, attempts)
        self._num_done += len(attempts)
        self._progress("answers", self._num_done, self._opened.num_total)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
