"""Evals of the project `owner` in this machine's database, with models that this process loads."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest, Conflict
from llmos.core.progress import Progress
from llmos.core.schemas.evals import EvalComparisonDescription, EvalRunDescription, EvalRunDetails
from llmos.core.who import this_user
from llmos.security.permissions import OWNER

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.data.evals import EvalRuns
    from llmos.data.evals.dataset_suites import DatasetSuite


class LocalEvals:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _runs(self) -> "EvalRuns":
        from llmos.data.evals import EvalRuns

        return EvalRuns(self._control.registry.database, self._control.keys_of_data)

    def run(
        self,
        suite: Path | str,
        progress: Progress,
        *,
        models: Sequence[str] = (),
        repeat: int | None = None,
    ) -> EvalRunDetails:
        from llmos.cli.pipeline_asking import PipelineAsker
        from llmos.core.names import APP_PREFIX
        from llmos.data.evals import NewEvalRun
        from llmos.data.evals.executing import execute
        from llmos.evals.asking import check_model

        read, source, subjects = self._read(suite)
        asked = list(models) or ([read.model] if read.model else [])
        if not asked:
            raise BadRequest(f"No model is given. Name one: llmos eval run {suite} --model NAME")
        if len({*asked}) < len(asked):
            raise BadRequest(f"{asked[0]} can't be compared with itself. Name two different models.")
        for model in asked:
            check_model(read, model)
            if model.startswith(APP_PREFIX):
                raise Conflict(f"{model} is an application, which a server runs. Start it first: llmos serve")
        self._control.keys_of_data.start()
        with PipelineAsker(self._control.settings) as asker:
            for model in asked:
                progress(f"loading {model}", 0, None)
                asker.load(model)
            new = NewEvalRun(
                suite=read, models=asked, num_repeats=repeat or read.repeat, source=source, subjects=subjects
            )
            begun = self._runs.begin(OWNER, new, actor=this_user())
            opened = self._runs.open(OWNER, begun.id)
            asker.run(lambda: execute(self._runs, opened, asker, num_in_flight=asker.num_in_flight, progress=progress))
        return self.get(begun.id)

    def list(self, suite: str | None = None, *, limit: int = 100) -> Sequence[EvalRunDescription]:
        return self._runs.list(OWNER, suite=suite, limit=limit)

    def get(self, id: str) -> EvalRunDetails:
        return self._runs.get(OWNER, id)

    def compare(self, first: str, second: str, *, not_worse_by: float = 0.05) -> EvalComparisonDescription:
        from llmos.evals.comparing import compare_runs

        return compare_runs(self.get(first), self.get(second), not_worse_by)

    def remove(self, id: str) -> EvalRunDescription:
        return self._runs.remove(OWNER, id)

    def _read(self, suite: Path | str) -> "DatasetSuite":
        """Return the suite, with the version of the dataset that it is of, if it is of one."""
        from llmos.cli.suite_files import read_suite_file
        from llmos.data.datasets import open_datasets
        from llmos.data.evals.dataset_suites import DatasetSuite, read_dataset

        if isinstance(suite, Path):
            return DatasetSuite(read_suite_file(suite), "", frozenset())
        return read_dataset(open_datasets(self._control.settings, self._control.registry.database).of(), suite)
