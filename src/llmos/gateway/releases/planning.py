"""ReleasePlanner: what a release of some files would change, beside what is deployed. Changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.billing.entries import Entry
from llmos.billing.price_books import PriceBooks, example
from llmos.billing.usage import DEFAULT_DAYS, Usage
from llmos.core.errors import NotFound
from llmos.core.schemas.app_manifests import AppManifest, RolloutManifest
from llmos.core.schemas.releases import CostOutlook, PlannedChange, ReleasePlan
from llmos.core.schemas.usage import UsageDescription
from llmos.data.app_versions.app_versions import ProjectApps
from llmos.data.app_versions.comparing import compare
from llmos.data.app_versions.versions import (
    AppContent,
    AppFiles,
    AppVersion,
    digest_of_files,
    files_of_content,
)
from llmos.data.apps.deployments import AppDeployment, AppDeployments
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.sources import is_document_name
from llmos.deployments.releases.release import Release, ReleaseSteps
from llmos.deployments.releases.releases import AppReleases
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.releases.checking import RequiredEval, required_evals
from llmos.gateway.releases.facts import drift_of, facts_of
from llmos.gateway.releases.wording import changes_of, document_changes, first_release

_NEW = "the new files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms that have a project's applications, their knowledge and their cost."""

    apps: ProjectApps
    datasets: ProjectDatasets
    knowledge: ProjectKnowledge
    deployments: AppDeployments
    releases: AppReleases
    resolver: Resolver
    usage: Usage
    price_books: PriceBooks


def plan_release(rooms: Rooms, content: AppContent, environment: str) -> ReleasePlan:
    """Return what a release of these files would change. Blocks: it reads the database and stored files."""
    project, app = rooms.apps.project, content.name
    files = files_of_content(content, _NEW)
    deployed, newest = _deployed(rooms, app), rooms.releases.newest(project, app)
    manifest = manifest_of(files.manifest)
    now = facts_of(manifest, rooms.resolver, rooms.knowledge)
    is_live = deployed is not None and not deployed.is_stopped
    current = deployed.ref if deployed is not None and is_live else None
    before = None if current is None else rooms.apps.files(rooms.apps.resolve(current))
    changes = first_release(files) if before is None else _changes(before, files)
    changes += _knowledge_changes(rooms.knowledge, manifest, files)
    version = _stored(rooms.apps, files)
    is_released = newest is not None and _is_of(newest, version, environment)
    return ReleasePlan(
        app=app,
        environment=environment,
        current=current,
        version=version,
        newest_release=0 if newest is None else newest.number,
        has_changes=bool(changes) or not is_released,
        changes=changes,
        drift=drift_of(newest, deployed, now),
        cost=None
        if before is None
        else _cost(rooms, manifest_of(before.manifest), manifest, now["models"][manifest.model]),
        evals=[each.planned(version, current) for each in required_evals(manifest, files.read, rooms.datasets)],
        rollout=_rollout(manifest.rollout if is_live and version != current else None),
    )


def current_of(rooms: Rooms, app: str) -> str | None:
    """Return the version that is deployed and not stopped."""
    deployed = _deployed(rooms, app)
    return None if deployed is None or deployed.is_stopped else deployed.ref


def evals_of(rooms: Rooms, version: AppVersion) -> list[RequiredEval]:
    """Return the suites that a stored version must pass."""
    files = rooms.apps.files(version)
    return required_evals(manifest_of(files.manifest), files.read, rooms.datasets)


def is_served(rooms: Rooms, version: AppVersion, environment: str) -> bool:
    """Return whether the newest release has made, or is making, this version the one that answers."""
    newest = rooms.releases.newest(rooms.apps.project, version.app)
    if newest is None or not _is_of(newest, version.ref, environment):
        return False
    return newest.is_taking_over or current_of(rooms, version.app) == version.ref


def _is_of(release: Release, version: str | None, environment: str) -> bool:
    is_same = (release.environment, release.ref) == (environment, version)
    return is_same and release.state not in ("superseded", "rolled_back")


def manifest_of(stored: Mapping[str, Any]) -> AppManifest:
    return msgspec.convert(stored, AppManifest)


def steps_of(rollout: RolloutManifest | None) -> ReleaseSteps:
    """Return how a version takes over, as app.yaml says. Raises BadRequest for impossible steps."""
    if rollout is None:
        return ReleaseSteps()
    return ReleaseSteps(
        steps=rollout.steps,
        gate=rollout.gate,
        min_calls=rollout.min_runs,
        max_hold_seconds=rollout.max_hold_seconds,
    ).checked()


def _deployed(rooms: Rooms, app: str) -> AppDeployment | None:
    try:
        return rooms.deployments.get(rooms.apps.project, app)
    except NotFound:
        return None


def _stored(apps: ProjectApps, files: AppFiles) -> str | None:
    """Return the version that has the same files, if there is one."""
    try:
        return apps.resolve(f"{files.app}@{digest_of_files(files.files.values())}").ref
    except NotFound:
        return None


def _changes(before: AppFiles, files: AppFiles) -> list[PlannedChange]:
    knowledge = manifest_of(files.manifest).knowledge
    return [*changes_of(compare(before, files), None if knowledge is None else knowledge.documents)]


def _knowledge_changes(stored: ProjectKnowledge, manifest: AppManifest, files: AppFiles) -> list[PlannedChange]:
    """Return how the documents of the folder differ from those that the knowledge has."""
    knowledge = manifest.knowledge
    if knowledge is None or knowledge.documents is None:
        return []
    folder = f"{knowledge.documents.rstrip('/')}/"
    now = {
        name.removeprefix(folder): file.digest
        for name, file in files.files.items()
        if name.startswith(folder) and is_document_name(name)
    }
    newest = stored.newest(knowledge.name)
    before = {} if newest is None else {each.name: each.digest for each in stored.documents(newest)}
    return [*document_changes(knowledge.name, before, now)]


def _cost(rooms: Rooms, before: AppManifest, manifest: AppManifest, versions: Sequence[str]) -> CostOutlook | None:
    """Return what the calls of the last days would cost with another model. None if the model stays, or no call was.

    `versions`: those behind the new model's name.
    """
    if before.model == manifest.model:
        return None
    report = rooms.usage.report("app", project=rooms.apps.project)
    used = next((row for row in report.data if row.value == manifest.name), None)
    if used is None or not used.num_calls:
        return None
    entry = _entry(used, manifest.model, versions[0] if versions else manifest.model)
    priced = rooms.price_books.try_out(msgspec.structs.replace(entry, project=rooms.apps.project))
    was = ", ".join(f"{amount} {currency}" for currency, amount in used.costs.items()) or "nothing"
    now = "nothing, as no price applies" if priced.cost is None else f"{priced.cost} {priced.currency}"
    return CostOutlook(
        model=manifest.model,
        num_days=DEFAULT_DAYS,
        num_calls=used.num_calls,
        was=dict(used.costs),
        cost=priced.cost,
        currency=priced.currency,
        text=(
            f"The {used.num_calls:,} calls of the last {DEFAULT_DAYS} days cost {was}. With {manifest.model}, as many"
            f" tokens would cost {now}."
        ),
    )


def _entry(used: UsageDescription, route: str, version: str) -> Entry:
    return example(
        version=version,
        route=route,
        calls=used.num_calls,
        replica_micros=round(used.replica_seconds * 1_000_000),
        input=used.input_tokens,
        cached_input=used.cached_input_tokens,
        output=used.output_tokens,
        embedding=used.embedding_tokens,
        rated=used.rated_tokens,
    )


def _rollout(rollout: RolloutManifest | None) -> str:
    steps = steps_of(rollout)
    if not steps.steps:
        return "All callers get it at once, when its process answers."
    percents = ", ".join(f"{step:g} %" for step in steps.steps)
    return f"Its callers grow in steps: {percents}, each after {steps.min_calls} runs that hold {steps.gate}."
