"""Descriptions of releases, as the API and the CLI return them."""

from llmos.core.schemas.releases import ReleaseDescription, ReleaseEventDescription
from llmos.deployments.releases.release import Release, ReleaseEvent


def describe_release(release: Release) -> ReleaseDescription:
    return ReleaseDescription(
        app=release.app,
        number=release.number,
        environment=release.environment,
        version=release.ref,
        before=release.ref_before,
        state=release.state,
        percent=release.percent,
        step=release.step,
        steps=[*release.steps],
        gate=release.gate,
        min_runs=release.min_calls,
        max_hold_seconds=release.max_hold_seconds,
        facts={name: value for name, value in release.facts.items() if name != "evals"},
        evals=[*release.facts.get("evals", ())],
        reason=release.reason,
        begun_by=release.begun_by,
        created_at=release.created_at,
        active_at=release.active_at,
        ended_at=release.ended_at,
    )


def describe_release_event(event: ReleaseEvent) -> ReleaseEventDescription:
    return ReleaseEventDescription(
        release=event.release, at=event.at, kind=event.kind, actor=event.actor, reason=event.reason
    )
