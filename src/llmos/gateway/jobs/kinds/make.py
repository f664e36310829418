"""The jobs `quantize` and `prune`: make a smaller Version of a model, and measure its card."""

import hashlib
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from llmos.core.config import Settings
from llmos.core.errors import LLMOSError
from llmos.core.schemas.cards import Card
from llmos.engine.compression.recipe import Kind, Recipe
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.models.deriving import check_derivable, derive, recipe_of
from llmos.models.descriptions import describe_derived
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class MakeJob(RequestObject, kw_only=True):
    model: str
    """The reference of the Version to make it from."""
    scheme: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    """The scheme's options, such as bits."""
    name: str | None = None
    """The new model's name. Default: the parent's name and the scheme."""
    calibration: str | None = None
    """A text to calibrate on. Default: the model writes one itself. In a job's description, the digest of the text."""
    card: bool = True
    """Measure the new Version's card, too."""


class QuantizeJob(MakeJob, kw_only=True):
    """Make a Version that stores its weights in fewer bits."""

    kind: Literal["quantize"] = "quantize"


class PruneJob(MakeJob, kw_only=True):
    """Make a Version without some of the weights, layers, channels or heads."""

    kind: Literal["prune"] = "prune"


M = TypeVar("M", bound=MakeJob)


def _check(kind: Kind, settings: Settings, registry: Registry, request: M) -> M:
    digest = None if request.calibration is None else _keep_text(settings, request.calibration)
    recipe = recipe_of(kind, request.scheme, request.options, None if digest is None else _text_path(settings, digest))
    parent = registry.resolve(request.model)
    check_derivable(registry, parent, recipe, request.name)
    # The Version that the name means now: an alias may move before the job runs.
    return msgspec.structs.replace(request, model=parent.ref, calibration=digest)


def _work(kind: Kind, context: Context, request: MakeJob) -> Mapping[str, Any]:
    registry = context.registry
    text = None if request.calibration is None else _text_path(context.settings, request.calibration)
    recipe: Recipe = recipe_of(kind, request.scheme, request.options, text)
    result = derive(
        registry,
        request.model,
        recipe,
        name=request.name,
        text=text,
        actor=context.actor,
        progress=context.progress,
    )
    described = describe_derived(registry, result, None)
    if request.card:
        try:
            described = msgspec.structs.replace(described, card=_card(context, result.version.ref))
        except LLMOSError as error:  # The Version is made, whatever becomes of its card.
            ref = result.version.ref
            later = f"Its card couldn't be measured: {error.message} Try again: llmos card {ref} --measure"
            described = msgspec.structs.replace(described, remark=" ".join(filter(None, [result.warning, later])))
    fields: dict[str, Any] = msgspec.to_builtins(described)
    return fields


def _card(context: Context, ref: str) -> Card:
    """Return the Version's card. Measures it if it has none yet."""
    from llmos.models.cards.cards import Cards
    from llmos.models.cards.measure import make_card

    version = context.registry.resolve(ref)
    card = Cards(context.registry.database).get(version)
    return card or make_card(context.registry, version, context.progress)


def _command(kind: Kind, request: MakeJob) -> str:
    words = ["llmos", kind, request.model, "--scheme", request.scheme]
    for name, value in request.options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    words += [] if request.name is None else ["--name", request.name]
    words += [] if request.calibration is None else ["--calibration", "FILE"]
    words += [] if request.card else ["--no-card"]
    return shlex.join(words)


def _keep_text(settings: Settings, text: str) -> str:
    """Keep a text until the job runs, and return its digest."""
    encoded = text.encode()
    digest = f"sha256:{hashlib.sha256(encoded).hexdigest()}"
    path = _text_path(settings, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.touch()  # A running job may be reading it. The runner removes old texts.
    else:
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        beside.write_bytes(encoded)
        beside.replace(path)
    return digest


def _text_path(settings: Settings, digest: str) -> Path:
    return settings.jobs_path / f"{digest.removeprefix('sha256:')}.txt"


def _kind(kind: Kind, request: type[M]) -> JobKind[M]:
    return JobKind(
        name=kind,
        request=request,
        check=lambda settings, registry, request: _check(kind, settings, registry, request),
        work=lambda context, request: _work(kind, context, request),
        command=lambda request: _command(kind, request),
        permission=Permission.MODELS_WRITE,
    )


QUANTIZE, PRUNE = _kind("quantize", QuantizeJob), _kind("prune", PruneJob)
