"""Origins: what is known of how an answer came to be, as facts that lead to their pages.

The version that answered, what it was made from and out of which data; the application with its prompts and knowledge;
the route, the guardrail policies, the settings and the prices.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.console.view import View
from llmos.core.errors import LLMOSError
from llmos.core.schemas.answers import AnswerDetails
from llmos.core.schemas.apps import AppVersionDescription
from llmos.core.schemas.models import VersionDetails
from llmos.core.schemas.runs import RunDescription

APP_PREFIX = "app:"
MAX_PARENTS = 8
"""A version is rarely made from more others, one after another."""

_MAX_VALUE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """One fact."""

    kind: str
    """The key of its title in the messages: answers.why_KIND."""
    text: str
    path: str = ""
    """Below /console; empty: it has no page."""
    details: Sequence[str] = ()


async def origins_of(view: View, answer: AnswerDetails, run: RunDescription | None) -> Sequence[Origin]:
    """Return the facts, those closest to the answer first. What the visitor may not see, or is gone, is left out."""
    found = [*_asked(answer)]
    if answer.version.startswith(APP_PREFIX):
        found += [each async for each in _application(view, answer.version.removeprefix(APP_PREFIX))]
    elif answer.version:
        found += [each async for each in _model(view, answer.version)]
    if run is not None:
        found += _knowledge(run)
    return [*found, *_rules(view, answer)]


def _asked(answer: AnswerDetails) -> Sequence[Origin]:
    found = []
    if answer.route:
        found.append(Origin(kind="route", text=answer.route, path=f"/deployments/routes/{answer.route}"))
    if answer.app and not answer.version.startswith(APP_PREFIX):
        found.append(Origin(kind="app", text=answer.app, path=f"/apps/{answer.app}"))
    return found


async def _application(view: View, ref: str) -> AsyncIterator[Origin]:
    yield Origin(kind="app", text=ref, path=f"/apps/{ref}")
    if not view.may("apps:read"):
        return
    try:
        app = await view.api.read(AppVersionDescription, f"/llmos/v1/apps/{ref}")
    except LLMOSError:
        return
    for prompt in app.prompts:
        yield Origin(kind="prompt", text=prompt, path=f"/prompts/{prompt}")
    if app.model:
        yield Origin(kind="asks", text=app.model)


async def _model(view: View, ref: str) -> AsyncIterator[Origin]:
    """Yield the version that answered, and those that it was made from."""
    kind, wanted = "version", ref
    for _ in range(MAX_PARENTS):
        try:
            details = await view.api.read(VersionDetails, f"/llmos/v1/models/{wanted}/details")
        except LLMOSError:  # It is a provider's, or was removed.
            yield Origin(kind=kind, text=wanted)
            return
        facts = (details.digest, details.source, details.license, details.made_by)
        yield Origin(
            kind=kind,
            text=details.version,
            path=f"/models/{details.version}",
            details=[*_recipe(details.recipe or {}), *(fact for fact in facts if fact)],
        )
        for dataset in _datasets(details.recipe or {}):
            yield Origin(kind="dataset", text=dataset, path=f"/datasets/{dataset}")
        if details.made_from is None:
            return
        kind, wanted = "parent", details.made_from


def _recipe(recipe: dict[str, Any]) -> Sequence[str]:
    return [f"{name}={value}"[:_MAX_VALUE] for name, value in recipe.items() if isinstance(value, str | int | float)]


def _datasets(recipe: dict[str, Any]) -> Sequence[str]:
    """Return the versions of datasets that a recipe names."""
    return [value for name, value in recipe.items() if "dataset" in name and isinstance(value, str) and "@" in value]


def _knowledge(run: RunDescription) -> Sequence[Origin]:
    """Return the versions of knowledge that the run has searched."""
    names = dict.fromkeys(
        str(step.result.get("version") or step.name)
        for step in run.steps
        if step.kind == "retrieval" and isinstance(step.result, dict)
    )
    return [Origin(kind="knowledge", text=name, path=f"/knowledge/{name}") for name in names if name]


def _rules(view: View, answer: AnswerDetails) -> Sequence[Origin]:
    found, receipt = [], answer.receipt
    if receipt is not None:
        for policy in receipt.guardrails.get("policies", []):
            path = f"/settings/guardrails/{policy['name']}" if view.may("guardrails:read") else ""
            found.append(Origin(kind="policy", text=f"{policy['name']}@{policy['version']}", path=path))
        if receipt.sampling:
            settings = [f"{name}={value}" for name, value in receipt.sampling.items() if value is not None]
            found.append(Origin(kind="sampling", text=", ".join(settings)[:_MAX_VALUE]))
    if answer.price_version is not None:
        version = answer.price_version
        found.append(Origin(kind="prices", text=str(version), path=f"/settings/prices/{version}"))
    return found
