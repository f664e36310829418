"""The evals on a server, for asyncio: the same calls as in evals.py, awaited."""

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.client import eval_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.evals import EvalComparisonDescription, EvalRunDescription, EvalRunDetails


class AsyncEvals(AsyncNoun):
    """Runs of evals of the key's project: cases that are asked, checks of the answers, and a verdict."""

    async def run(
        self,
        suite: Mapping[str, Any] | Path | None = None,
        *,
        dataset: str | None = None,
        models: Sequence[str] = (),
        repeat: int | None = None,
    ) -> EvalRunDetails:
        """Run an eval to its end, and return it with all answers.

        `suite`: a document, or a YAML file; or `dataset`: one of the kind case. `models`: the route, model or
        application (app:NAME) that is asked, and one that it is compared with. `exit_status` of what is returned: 0 for
        passed, 4 for a failed gate, 5 for undecided, 1 if nothing could be asked.
        """
        started = await self.start(suite, dataset=dataset, models=models, repeat=repeat)
        if started.job is not None:
            async for _ in self._client.jobs.follow(started.job):
                pass
        return await self.get(started.id)

    async def start(
        self,
        suite: Mapping[str, Any] | Path | None = None,
        *,
        dataset: str | None = None,
        models: Sequence[str] = (),
        repeat: int | None = None,
    ) -> EvalRunDescription:
        """Start a run, whose `job` can be followed. The same run that hasn't finished goes on."""
        return await self._client._request(calls.start_eval(suite, dataset, models, repeat))

    async def list(self, suite: str | None = None, *, limit: int = 100) -> builtins.list[EvalRunDescription]:
        """Return runs, newest first, without their cases. `suite`: only those of this one."""
        return await self._client._request(calls.list_evals(suite, limit))

    async def get(self, id: str) -> EvalRunDetails:
        """Return a run with every case and answer, also while it runs."""
        return await self._client._request(calls.get_eval(id))

    async def compare(self, first: str, second: str, *, not_worse_by: float = 0.05) -> EvalComparisonDescription:
        """Compare two runs of the same cases: is the first better?"""
        return await self._client._request(calls.compare_evals(first, second, not_worse_by))

    async def remove(self, id: str) -> EvalRunDescription:
        """Remove a run with its answers, and return what it was."""
        return await self._client._request(calls.remove_eval(id))
