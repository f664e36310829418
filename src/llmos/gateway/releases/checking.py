"""The suites that a version must pass before it is released: what they ask for, and what their runs came to.

The evidence is kept runs of evals of exactly these cases, gates and versions. Nothing else lets a version through.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from llmos.core.errors import BadRequest, Conflict
from llmos.core.names import APP_PREFIX
from llmos.core.plurals import counted
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.schemas.evals import EvalRunDescription, Verdict
from llmos.core.schemas.releases import PlannedEval, ReleaseCheckDescription
from llmos.data.app_versions.reading import SUITE_SUFFIXES
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.evals import EvalRuns, NewEvalRun
from llmos.data.evals.dataset_suites import read_dataset
from llmos.evals.reports import sentences
from llmos.evals.suite_reading import parse_suite, read_suite, suite_name
from llmos.evals.suites import Suite

MAX_AGE = timedelta(days=1)
"""Evals that ended before say little about the models and the knowledge of now."""

_WORST: Sequence[Verdict] = ("could_not_run", "failed", "undecided", "passed")
_WORDS = {"failed": "failed", "undecided": "is undecided", "could_not_run": "could not run"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RequiredEval:
    """A suite that a version must pass."""

    name: str
    """As app.yaml names it."""
    suite: Suite
    source: str = ""
    """The version of the dataset that its cases are of."""
    subjects: frozenset[str] = frozenset()
    """The persons whose data they have."""

    @property
    def compares(self) -> bool:
        """The version that is deployed is asked the same cases."""
        return "not_worse_by" in self._gates

    @property
    def _gates(self) -> dict[str, Any]:
        return dict(self.suite.document.get("gates") or {})

    def against(self, ref: str | None, current: str | None) -> str | None:
        """Return the version that `ref` is compared with, if it is with any."""
        return current if self.compares and current != ref else None

    def run_of(self, ref: str, current: str | None) -> NewEvalRun:
        """Return the run that is the evidence for a version. `current`: the one that is deployed."""
        against = self.against(ref, current)
        return NewEvalRun(
            suite=self.suite if against is not None or not self.compares else self._without_comparison(),
            models=[f"{APP_PREFIX}{each}" for each in (ref, against) if each is not None],
            num_repeats=self.suite.repeat,
            source=self.source,
            subjects=self.subjects,
        )

    def planned(self, ref: str | None, current: str | None) -> PlannedEval:
        """Return the requirement in words."""
        against = self.against(ref, current)
        demands = ", ".join(self._demands(against))
        return PlannedEval(
            suite=self.name,
            num_cases=len(self.suite.cases),
            num_repeats=self.suite.repeat,
            against=against,
            text=f"It is asked the {counted(len(self.suite.cases), 'case')} of {self.name} first: {demands}.",
        )

    def _demands(self, against: str | None) -> Iterator[str]:
        gates = self.suite.gates
        if gates.all_pass or (gates.is_empty and not self.compares):
            yield "all must pass"
        if gates.must_pass:
            yield f"{', '.join(gates.must_pass)} must pass"
        if gates.pass_rate is not None:
            yield f"surely {gates.pass_rate:.0%} must pass"
        if gates.beats_baseline:
            yield "more must pass than with a trivial answer"
        if against is not None:
            yield f"surely not {gates.not_worse_by:.0%} fewer than with {against}"
        elif self.compares and gates.is_empty:
            yield "there is no version to compare it with yet"

    def _without_comparison(self) -> Suite:
        """Return the suite for a first release. One that demands nothing else is passed if it can be asked."""
        gates = {name: value for name, value in self._gates.items() if name != "not_worse_by"}
        return _parsed(self.suite, {"gates": gates or {"pass_rate": 0.0}}, self.name)


def required_evals(
    manifest: AppManifest, read: Callable[[str], bytes], datasets: ProjectDatasets
) -> list[RequiredEval]:
    """Return the suites that app.yaml names. `read`: returns a file of the application.

    Raises BadRequest that names the file and the line, and NotFound for a dataset that there isn't.
    """
    return [_required(name, manifest, read, datasets) for name in manifest.evals]


def check_of(
    runs: EvalRuns, project: str, required: Sequence[RequiredEval], ref: str, current: str | None
) -> ReleaseCheckDescription:
    """Return what the newest runs of these suites came to, for one version."""
    app = ref.partition("@")[0]
    found = {each.name: runs.newest(project, each.run_of(ref, current)) for each in required}
    known = {name: run for name, run in found.items() if run is not None}
    is_whole = all(run is not None and run.verdict is not None for run in found.values())
    verdicts = [run.verdict for run in known.values() if run.verdict is not None]
    return ReleaseCheckDescription(
        app=app,
        version=ref,
        against=next((against for each in required if (against := each.against(ref, current))), None),
        state="finished" if is_whole else "unfinished",
        verdict=min(verdicts, key=_WORST.index, default="passed") if is_whole else None,
        evals=[*known.values()],
        sentences=[f"{name}: {sentence}" for name, run in known.items() for sentence in sentences(run)],
    )


def evidence_of(
    runs: EvalRuns, project: str, required: Sequence[RequiredEval], ref: str, current: str | None, now: datetime
) -> list[str]:
    """Return the ids of the runs that let a version through. Raises Conflict if one is missing, old, or not passed."""
    ids = []
    for each in required:
        run = runs.newest(project, each.run_of(ref, current))
        if run is None or run.verdict is None:
            has = "hasn't been asked" if run is None else "is still being asked"
            raise _refused(ref, f"it {has} the cases of {each.name}")
        if run.verdict != "passed":
            raise _refused(ref, f"{each.name} {_WORDS[run.verdict]} ({run.id}). {_reasons(run)}".rstrip(". "))
        if run.ended_at is not None and now - run.ended_at > MAX_AGE:
            raise _refused(ref, f"{each.name} was passed at {run.ended_at:%Y-%m-%d %H:%M} UTC, more than a day ago")
        ids.append(run.id)
    return ids


def _refused(ref: str, why: str) -> Conflict:
    return Conflict(
        f"{ref} isn't released: {why}. `llmos apply DIR` runs its evals; over HTTP, POST"
        f" /llmos/v1/apps/{ref.partition('@')[0]}/checks does.",
        param="version",
    )


def _reasons(run: EvalRunDescription) -> str:
    return " ".join(f"{gate.name}: {gate.sentence}" for gate in run.gates if gate.state != "passed")


def _required(
    name: str, manifest: AppManifest, read: Callable[[str], bytes], datasets: ProjectDatasets
) -> RequiredEval:
    source, subjects = "", frozenset[str]()
    if name.endswith(SUITE_SUFFIXES):
        suite = read_suite(_text(read(name), name), name, suite_name(name))
    else:
        suite, source, subjects = read_dataset(datasets, name)
    if manifest.gates is not None and not suite.document.get("gates"):
        suite = _parsed(suite, {"gates": msgspec.to_builtins(manifest.gates)}, name)
    if suite.model is None:  # The one that `likelihood` asks.
        suite = _parsed(suite, {"model": manifest.model}, name)
    return RequiredEval(name=name, suite=suite, source=source, subjects=subjects)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(f"{name} isn't text in UTF-8.", param="files") from None


def _parsed(suite: Suite, changes: dict[str, Any], source: str) -> Suite:
    return parse_suite({**suite.document, **changes}, source)
