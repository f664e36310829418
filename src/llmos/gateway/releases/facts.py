"""The facts of a release: which versions its names stand for, so that later changes by other hands are seen."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmos.core.errors import LLMOSError
from llmos.core.schemas.app_manifests import AppManifest
from llmos.data.apps.deployments import AppDeployment
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.deployments.releases.release import Release
from llmos.gateway.calls.resolve import Resolver


def facts_of(manifest: AppManifest, resolver: Resolver, knowledge: ProjectKnowledge) -> dict[str, Any]:
    """Return {"models": {name: versions}, "knowledge": {name: version}}. A name that stands for nothing has none."""
    models = {name: _versions(resolver, name) for name in dict.fromkeys([manifest.model, *manifest.models])}
    versions = {name: _knowledge_version(knowledge, name) for name in manifest.knowledge_names}
    return {"models": models, "knowledge": versions}


def drift_of(release: Release | None, deployed: AppDeployment | None, now: Mapping[str, Any]) -> list[str]:
    """Return, in words, what isn't any more as the last release made it."""
    if release is None or release.state == "rolled_back":
        return []
    return [*_deployment_drift(release, deployed), *_name_drift(release.facts, now)]


def _deployment_drift(release: Release, deployed: AppDeployment | None) -> Iterator[str]:
    by = "" if deployed is None or deployed.changed_by is None else f" by {deployed.changed_by}"
    if deployed is None:
        yield f"{release.ref} was released, and nothing is deployed any more."
    elif deployed.is_stopped:
        yield f"{release.ref} was released, and was stopped{by} at {deployed.changed_at:%Y-%m-%d %H:%M} UTC."
    elif deployed.version != release.version and not release.is_taking_over:
        yield (
            f"{deployed.ref} is deployed,{by} at {deployed.changed_at:%Y-%m-%d %H:%M} UTC; the last release was"
            f" {release.ref}."
        )


def _name_drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, versions in before.get("models", {}).items():
        present = now.get("models", {}).get(name)
        if present is not None and present != versions:
            yield f"{name} stands for {_listed(present)}; at the last release it was {_listed(versions)}."
    for name, version in before.get("knowledge", {}).items():
        present = now.get("knowledge", {}).get(name)
        if present is not None and present != version:
            yield f"The knowledge {name} is {present}; at the last release it was {version or 'not there'}."


def _listed(versions: list[str]) -> str:
    return " and ".join(versions) or "nothing"


def _versions(resolver: Resolver, name: str) -> list[str]:
    try:
        return sorted(resolver.find(name).versions())
    except LLMOSError:
        return []


def _knowledge_version(knowledge: ProjectKnowledge, name: str) -> str | None:
    try:
        return knowledge.resolve(name).ref
    except LLMOSError:
        return None
