"""The evals on a server, with blocking calls."""

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.client import eval_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.evals import EvalComparisonDescription, EvalRunDescription, EvalRunDetails


class Evals(Noun):
    """Runs of evals of the key's project: cases that are asked, checks of the answers, and a verdict."""

    def run(
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
        started = self.start(suite, dataset=dataset, models=models, repeat=repeat)
        if started.job is not None:
            for _ in self._client.jobs.follow(started.job):
                pass
        return self.get(started.id)

    def start(
        self,
        suite: Mapping[str, Any] | Path | None = None,
        *,
        dataset: str | None = None,
        models: Sequence[str] = (),
        repeat: int | None = None,
    ) -> EvalRunDescription:
        """Start a run, whose `job` can be followed. The same run that hasn't finished goes on."""
        return self._client._request(calls.start_eval(suite, dataset, models, repeat))

    def list(self, suite: str | None = None, *, limit: int = 100) -> builtins.list[EvalRunDescription]:
        """Return runs, newest first, without their cases. `suite`: only those of this one."""
        return self._client._request(calls.list_evals(suite, limit))

    def get(self, id: str) -> EvalRunDetails:
        """Return a run with every case and answer, also while it runs."""
        return self._client._request(calls.get_eval(id))

    def compare(self, first: str, second: str, *, not_worse_by: float = 0.05) -> EvalComparisonDescription:
        """Compare two runs of the same cases: is the first better?"""
        return self._client._request(calls.compare_evals(first, second, not_worse_by))

    def remove(self, id: str) -> EvalRunDescription:
        """Remove a run with its answers, and return what it was."""
        return self._client._request(calls.remove_eval(id))
