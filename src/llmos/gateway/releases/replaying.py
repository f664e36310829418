"""Recorded traffic of an application as a suite: both versions are asked it again, and tools answer out of the record.

Only runs count that callers have agreed to, that are kept still, and that ended with an answer. The suite has what its
callers wrote: it goes with them, and no later than the first of the runs that it was made of.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from llmos.core.errors import NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.plurals import counted
from llmos.core.schemas.app_manifests import AppManifest
from llmos.core.schemas.runs import RunDescription
from llmos.data.app_versions.versions import AppVersion
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from llmos.data.evals import NewEvalRun
from llmos.evals.suite_reading import parse_suite
from llmos.gateway.releases.planning import Rooms, current_of, evals_of, manifest_of

MAX_RUNS = 2_000
_AT_ONCE = 100
_MAX_SEEN = 20_000
"""The runs that are looked at. Older ones say little about what callers ask now."""
_MAX_TURNS = 200
_SAYS_SOMETHING = {"matches": r"\S"}
_OF_OTHERS = "the app.yaml of their version doesn't say that callers agreed"
_OPTIONS = "options"
"""The step in which a run keeps what it was begun with; see apps/execution.py."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Recorded runs that may be asked again."""

    cases: Sequence[Mapping[str, Any]]
    subjects: frozenset[str]
    """The persons whose data they have."""
    expires_at: datetime | None
    """The moment at which the first of them isn't kept any more."""
    left_out: Sequence[str]
    """Why others aren't among them, in sentences."""


class Consents:
    """Says of which runs the callers have agreed: those of versions whose app.yaml says so."""

    def __init__(self, rooms: Rooms, app: str) -> None:
        self._rooms, self._app = rooms, app
        self._deployed_at = rooms.deployments.get(rooms.apps.project, app).changed_at
        self._known: dict[int, bool] = {}

    def has(self, run: RunDescription) -> bool:
        if run.version is None:  # It is of the deployed version if it began since that is deployed.
            return run.created_at is not None and run.created_at >= self._deployed_at
        if run.version not in self._known:
            self._known[run.version] = self._is_agreed(run.version)
        return self._known[run.version]

    def _is_agreed(self, version: int) -> bool:
        try:
            stored = self._rooms.apps.manifest(self._rooms.apps.resolve(f"{self._app}@{version}"))
        except NotFound:  # It was removed.
            return False
        return manifest_of(stored).consent == "eval"


@dataclass(frozen=True, slots=True)
class Recorder:
    """Reads what an application has recorded."""

    rooms: Rooms
    runs: AppRuns
    sessions: AppSessions

    def traffic(self, app: str, limit: int) -> Traffic:
        """Return the newest runs that may be asked again."""
        manifest = self._manifest(app)
        if manifest is None or manifest.consent != "eval":
            return Traffic(cases=[], subjects=frozenset(), expires_at=None, left_out=[_no_consent(app)])
        found: list[tuple[RunDescription, Mapping[str, Any]]] = []
        reasons: Counter[str] = Counter()
        consents = Consents(self.rooms, app)
        for run in self._newest(app):
            case, reason = self._case(run) if consents.has(run) else (None, _OF_OTHERS)
            if case is None:
                reasons[reason] += 1
            else:
                found.append((run, case))
            if len(found) == limit:
                break
        ends = [end for run, _ in found for end in self._ends_of(run, manifest)]
        return Traffic(
            cases=[case for _, case in found],
            subjects=self.runs.subjects(self._project, [run.id for run, _ in found]),
            expires_at=min(ends, default=None),
            left_out=[f"{counted(number, 'run')} left out: {reason}." for reason, number in reasons.items()],
        )

    def eval_of(self, traffic: Traffic, version: AppVersion, current: str) -> NewEvalRun:
        """Return the run that asks both versions."""
        document = {
            "name": f"replay-{version.app}"[:64],
            "cases": [*traffic.cases],
            "checks": [_SAYS_SOMETHING, *self._common_checks(version)],
        }
        return NewEvalRun(
            suite=parse_suite(document, "The recorded traffic"),
            models=[f"{APP_PREFIX}{version.ref}", f"{APP_PREFIX}{current}"],
            num_repeats=1,
            subjects=traffic.subjects,
            expires_at=traffic.expires_at,
        )

    @property
    def _project(self) -> str:
        return self.rooms.apps.project

    def _common_checks(self, version: AppVersion) -> Iterator[Any]:
        """Yield the checks that the version's own suites make of every answer."""
        for required in evals_of(self.rooms, version):
            yield from required.suite.document.get("checks") or []

    def _ends_of(self, run: RunDescription, manifest: AppManifest) -> Iterator[datetime]:
        """Yield the moments at which a run is deleted: by the project's retention, and by that of the application."""
        if run.expires_at is not None:
            yield run.expires_at
        if manifest.retention_days is not None and (last := run.ended_at or run.created_at) is not None:
            yield last + timedelta(days=manifest.retention_days)

    def _manifest(self, app: str) -> AppManifest | None:
        """Return what the deployed version says. None: none is deployed."""
        current = current_of(self.rooms, app)
        return None if current is None else manifest_of(self.rooms.apps.manifest(self.rooms.apps.resolve(current)))

    def _newest(self, app: str) -> Iterator[RunDescription]:
        after: str | None = None
        for _ in range(_MAX_SEEN // _AT_ONCE):
            page = self.runs.list(self._project, app=app, state="succeeded", after=after, limit=_AT_ONCE)
            yield from page
            if len(page) < _AT_ONCE:
                return
            after = page[-1].id

    def _case(self, listed: RunDescription) -> tuple[Mapping[str, Any] | None, str]:
        """Return a run as a case; None with the reason why it is none."""
        try:
            run = self.runs.get(self._project, listed.id)
            before = self._before(run)
        except NotFound:
            return None, "they, or their conversations, aren't kept any more"
        options = next((step.result for step in run.steps if step.key == _OPTIONS), None) or {}
        if options.get("dry_run"):
            return None, "they were dry runs"
        before = [*before, *options.get("before", ())]
        case = {"id": run.id, "input": _input(run.input, before), "expect": {}, "replays": run.id}
        return {**case, "variables": options.get("variables") or {}}, ""

    def _before(self, run: RunDescription) -> list[Mapping[str, Any]]:
        """Return the messages before a run in its session. Raises NotFound if they aren't kept."""
        if run.session is None:
            return []
        session = self.sessions.get(self._project, run.session)
        first = max(0, session.num_turns - _MAX_TURNS)
        messages: list[Mapping[str, Any]] = []
        for turn in self.sessions.turns(self._project, run.session, first=first, limit=_MAX_TURNS):
            if turn.run == run.id:
                return messages
            messages += [_plain(each) for each in turn.messages if each["role"] in ("user", "assistant")]
        raise NotFound(f"The turn of {run.id} isn't there.")


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was said, without calls of tools: their results aren't among the messages."""
    return {"role": message["role"], "content": message.get("content") or ""}


def _input(input: Any, before: Sequence[Mapping[str, Any]]) -> Any:
    """Return the input of a case: as it was, or a conversation that ends with it."""
    if not before:
        return [input] if isinstance(input, dict) and input.get("role") == "user" else input
    question = input if isinstance(input, dict) and "role" in input else {"role": "user", "content": input}
    return [*before, question]


def _no_consent(app: str) -> str:
    return (
        f"No run of {app} may be asked again: the app.yaml of its deployed version doesn't say that its callers agreed."
        " Where they have, write `consent: eval` and release it; runs count from then on."
    )
