"""Policy: which guardrails screen a call, in which order, and what happens to what they find.

    {"both":   [{"guardrail": "secrets"}],
     "input":  [{"guardrail": "pii", "action": "placeholder", "budget_ms": 50}],
     "output": [{"guardrail": "max_length", "characters": 4000}]}

An entry of `both` stands at the end of the input's and of the output's list. The fields besides `guardrail`, `action`,
`budget_ms` and `fail_closed` are options of the guardrail.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.security.guardrails.guardrail import Action, Guardrail, ModelGuardrail, QuickGuardrail, Side, Source
from llmos.security.guardrails.kinds import kinds, load_kind

BUDGET_MS = 200.0
"""The default time for one prompt, or for one chunk of an answer, in milliseconds of a processor. A kind whose options
have a `budget_ms` has a default of its own, and is given it."""

MAX_STEPS = 32
MAX_BYTES = 256 * 1024

_WARMING = "Call +49 30 901820 or 4111 1111 1111 1111, password = 'x9$Lq02m', born 1985-05-12, at 192.0.2.1. " * 3

_LISTS = ("input", "output", "both")
_COMMON = ("guardrail", "action", "budget_ms", "fail_closed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One guardrail of a policy."""

    policy: str
    name: str
    """Its kind."""
    guardrail: Guardrail
    action: Action
    budget_seconds: float
    """The time for one prompt, or for one chunk of an answer."""
    fail_closed: bool
    """True: a text that couldn't be screened, because of an error or the time limit, is blocked instead of passed."""
    model_guardrail: ModelGuardrail | None = None
    """The guardrail, if it asks the called model. Found once: looking at its interface takes time on every call."""
    quick_guardrail: QuickGuardrail | None = None
    """The guardrail, if it can tell quickly that a text has no hits."""

    def screens(self, source: Source) -> bool:
        """Return whether it screens texts of a prompt that are from `source`."""
        return source in self.guardrail.sources


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Policy:
    """A version of a policy, ready to screen. Equal to itself alone."""

    name: str
    version: int
    digest: str
    """SHA-256 of the document."""
    input: Sequence[Step]
    output: Sequence[Step]

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return a document's one spelling in JSON."""
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    except RecursionError:
        raise BadRequest("The policy is nested too deeply.", param="document") from None


def digest_of(document: Mapping[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(canonical(document)).hexdigest()}"


def open_policy(name: str, version: int, document: Mapping[str, Any]) -> Policy:
    """Raises BadRequest, naming what is wrong in the document."""
    for key in document:
        if key not in _LISTS:
            raise BadRequest(f"A policy has no {key[:80]!r}. {did_you_mean(key, _LISTS)}", param=key[:80])
    if len(canonical(document)) > MAX_BYTES:
        raise BadRequest(f"The policy is larger than {MAX_BYTES // 1024} KiB. Make it smaller.", param="document")
    if b"\\u0000" in canonical(document):
        raise BadRequest("The policy has a NUL character, which isn't text. Leave it out.", param="document")
    both = _entries(document, "both")
    steps = {
        side: [_step(name, entry, side, path) for path, entry in [*_entries(document, side), *both]]
        for side in cast(tuple[Side, ...], ("input", "output"))
    }
    if not steps["input"] and not steps["output"]:
        raise BadRequest("The policy has no guardrail. Add one to `input`, `output` or `both`.", param="document")
    return Policy(name=name, version=version, digest=digest_of(document), input=steps["input"], output=steps["output"])


def _entries(document: Mapping[str, Any], side: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of a list, each with its path."""
    entries = document.get(side, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadRequest(f"`{side}` must be a list of objects, each with a `guardrail`.", param=side)
    if len(entries) > MAX_STEPS:
        raise BadRequest(f"`{side}` has {len(entries)} guardrails; it takes {MAX_STEPS}.", param=side)
    return [(f"{side}[{i}]", entry) for i, entry in enumerate(entries)]


def _step(policy: str, entry: Mapping[str, Any], side: Side, path: str) -> Step:
    name = entry.get("guardrail")
    if not isinstance(name, str) or name not in kinds():
        raise BadRequest(
            f"`{path}.guardrail`: there is no guardrail {str(name)[:80]!r}. {did_you_mean(str(name), kinds())}",
            param=f"{path}.guardrail",
        )
    kind = load_kind(name)
    known = kind.Options.__struct_fields__
    given = {key: value for key, value in entry.items() if key in known or key not in _COMMON}
    budget, fail_closed = _limits(entry, path)
    if unknown := next((key for key in given if key not in known), None):
        hint = did_you_mean(unknown, [*known, *_COMMON])
        raise BadRequest(f"`{path}`: {name} has no option {unknown[:80]!r}. {hint}", param=f"{path}.{unknown[:80]}")
    try:
        options = msgspec.convert(given, kind.Options)
        guardrail = kind.open(options)
    except msgspec.ValidationError as error:
        raise BadRequest(f"`{path}` ({name}): {error}.", param=path) from None
    except BadRequest as error:
        raise BadRequest(f"`{path}` ({name}): {error.message}", param=path) from None
    if not guardrail.waits:
        # Load and compile everything now, so that the first call isn't charged for it.
        for pieces in guardrail.screen_prompt([_WARMING], ["user"]):
            list(pieces)
    if side not in guardrail.sides:
        raise BadRequest(f"`{path}`: {name} screens the {guardrail.sides[0]} alone. Move it there.", param=path)
    actions = [each for each in guardrail.actions if each != "placeholder" or side == "input"]
    action = entry.get("action", guardrail.actions[0])
    if action == "placeholder" and "placeholder" in guardrail.actions and path.startswith("both"):
        action = "placeholder" if side == "input" else "mask"
    if action not in actions:
        raise BadRequest(
            f"`{path}.action` is {str(action)[:80]!r}; on the {side}, {name} takes {', '.join(actions)}.",
            param=f"{path}.action",
        )
    return Step(
        policy=policy,
        name=name,
        guardrail=guardrail,
        action=cast(Action, action),
        budget_seconds=getattr(options, "budget_ms", budget) / 1000,
        fail_closed=fail_closed,
        model_guardrail=guardrail if isinstance(guardrail, ModelGuardrail) else None,
        quick_guardrail=guardrail if isinstance(guardrail, QuickGuardrail) else None,
    )


def _limits(entry: Mapping[str, Any], path: str) -> tuple[float, bool]:
    """Return the budget in milliseconds, and whether what can't be screened is blocked."""
    budget, fail_closed = entry.get("budget_ms", BUDGET_MS), entry.get("fail_closed", True)
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 60_000:
        raise BadRequest(f"`{path}.budget_ms` must be a number above 0, up to 60000.", param=f"{path}.budget_ms")
    if not isinstance(fail_closed, bool):
        raise BadRequest(f"`{path}.fail_closed` must be true or false.", param=f"{path}.fail_closed")
    return budget, fail_closed
