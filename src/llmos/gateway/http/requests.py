"""How the bytes of a request become a typed struct, and how a wrong one is refused so that its sender can mend it."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import msgspec
from starlette.requests import Request

from llmos.core.errors import BadRequest, TooLarge
from llmos.core.suggest import nearest

MAX_BODY_BYTES = 32 * 2**20
MAX_DISCARDED_BYTES = 128 * 2**20

Int64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)
"""What msgpack can carry to the replica."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field that would change the answer and that LLMOS can't honour: refused, unless its value asks for nothing."""

    advice: str
    neutral: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Variants:
    """What a field may hold, or a list in it: objects of several kinds, told apart by their `type`."""

    kinds: "Mapping[str, type[WireRequest]]"
    refused: Mapping[str, str] = field(default_factory=dict)
    """Types that exist and that we can't honour, with what to do instead. "" is for those that nobody knows."""
    default: str | None = None
    """The type of an object that doesn't say."""


class WireRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A JSON object that callers send. A field that is null counts as not given."""

    harmless: ClassVar[frozenset[str]] = frozenset()
    """Accepted and unused: they can't change the answer."""
    unsupported: ClassVar[Mapping[str, Unsupported]] = {}
    objects: ClassVar[Mapping[str, "type[WireRequest]"]] = {}
    """Fields that hold such an object themselves."""
    lists: ClassVar[Mapping[str, "type[WireRequest]"]] = {}
    """Fields that hold a list of them."""
    variants: ClassVar[Mapping[str, Variants]] = {}
    """Fields that hold objects of several kinds, whose structs have the tag field `type`."""


R = TypeVar("R", bound=WireRequest)


async def receive(request: Request, kind: type[R]) -> R:
    """Read the body of `request` as a `kind`. Raises TooLarge, and BadRequest naming the field."""
    return decode(await read_body(request), kind)


def receive_query(request: Request, kind: type[R]) -> R:
    """Read what follows the question mark as a `kind`. Raises BadRequest naming the field."""
    return convert(dict(request.query_params), kind, is_text=True)


async def read_body(request: Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raises TooLarge for one over the limit, whether or not it told its length."""
    return b"".join([chunk async for chunk in body_chunks(request, limit_bytes)])


async def body_chunks(request: Request, limit_bytes: int, what: str = "request") -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises TooLarge for one over the limit, whether or not it told its length."""
    too_large = TooLarge(f"The {what} is larger than {limit_bytes:,} bytes, the most that this server reads. Split it.")
    told = request.headers.get("content-length", "")
    is_too_large = told.isdecimal() and int(told) > limit_bytes
    if is_too_large and "100-continue" in request.headers.get("expect", ""):
        raise too_large  # The sender waits for our word before it sends anything.
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > limit_bytes or is_too_large:
            # Most clients read no answer before they have sent everything: swallow it, within reason.
            is_too_large = True
            if num_bytes > limit_bytes + MAX_DISCARDED_BYTES:
                break
        else:
            yield chunk
    if is_too_large:
        raise too_large


def decode(body: bytes, kind: type[R]) -> R:
    """Return the struct that `body` spells. Raises BadRequest with the field in its message and its param."""
    fields = _parse(body)
    if not isinstance(fields, dict):
        raise BadRequest(f"The body must be a JSON object; this one is {_name_of(fields)}.")
    return convert(fields, kind)


def convert(fields: Mapping[str, Any], kind: type[R], where: str = "", *, is_text: bool = False) -> R:
    """Return the struct of an object that stands at `where`, such as `input[3].`. Raises BadRequest as decode does.

    `is_text`: its values are texts, as in a form or behind a question mark, and numbers are read from them.
    """
    try:
        return msgspec.convert(_tidy(fields, kind, where), kind, str_keys=True, strict=not is_text)
    except msgspec.ValidationError as error:
        raise _explain(str(error), where) from None


def _parse(body: bytes) -> Any:
    if not body.strip():
        raise BadRequest("The body is empty; send a JSON object.")
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid UTF-8: {error.reason}.") from None
    except msgspec.MsgspecError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise BadRequest(f"The body is not valid JSON: {reason[:1].lower()}{reason[1:]}.") from None


def _tidy(fields: Mapping[str, Any], kind: type[WireRequest], where: str) -> dict[str, Any]:
    """Drop nulls and what is harmless. Raises BadRequest for a field that we don't know or can't honour."""
    known = kind.__struct_fields__
    tidied: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or name in kind.harmless:
            continue
        path = f"{where}{name}"
        if name in known:
            tidied[name] = _tidy_value(name, value, kind, path)
        elif name not in kind.unsupported:
            raise _unknown(name, [*known, *kind.unsupported], path)
        elif value not in kind.unsupported[name].neutral:
            raise BadRequest(f"`{path}` is not supported: {kind.unsupported[name].advice}", param=path)
    return tidied


def _tidy_value(name: str, value: Any, kind: type[WireRequest], path: str) -> Any:
    if name in kind.objects and isinstance(value, dict):
        return _tidy(value, kind.objects[name], f"{path}.")
    if name in kind.variants:
        if isinstance(value, list):
            return [_tidy_variant(each, kind.variants[name], f"{path}[{i}]") for i, each in enumerate(value)]
        return _tidy_variant(value, kind.variants[name], path)
    if name in kind.lists and isinstance(value, list):
        inner = kind.lists[name]
        return [_tidy(each, inner, f"{path}[{i}].") if isinstance(each, dict) else each for i, each in enumerate(value)]
    return value  # Where its type is wrong, convert says so.


def _tidy_variant(value: Any, variants: Variants, path: str) -> Any:
    if not isinstance(value, dict):
        return value
    name = value.get("type", variants.default)
    if name is None:
        raise BadRequest(f"`{path}.type` is missing; it is one of {', '.join(variants.kinds)}.", param=f"{path}.type")
    kind = variants.kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        advice = variants.refused.get(name) if isinstance(name, str) else None
        advice = advice or variants.refused.get("") or f"It takes {', '.join(variants.kinds)}."
        raise BadRequest(f"`{path}.type` is {name!r}: {advice}", param=f"{path}.type")
    rest = {key: item for key, item in value.items() if key != "type"}
    return {"type": name, **_tidy(rest, kind, f"{path}.")}


def _unknown(name: str, known: list[str], path: str) -> BadRequest:
    near = nearest(name, known, limit=1)
    advice = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    return BadRequest(f"There is no field `{path}`. {advice}", param=path)


# The words that msgspec uses for types, in JSON's own terms.
_JSON_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object"}


def _name_of(value: Any) -> str:
    words = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return words.get(type(value), "null")


def _explain(message: str, where: str) -> BadRequest:
    """Turn "Expected `float`, got `str` - at `$.temperature`" into a BadRequest on temperature."""
    reason, _, place = message.partition(" - at ")
    path = place.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".")
    path = (where + path).rstrip(".")
    missing = re.match(r"Object missing required field `(.+)`", reason)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return BadRequest(f"`{path}` is missing.", param=path)
    reason = re.sub(r"\b(str|int|float|bool|dict)\b", lambda word: _JSON_WORDS[word[0]], reason).replace("`", "")
    reason = reason.replace(" | null", "")  # That would count as not given.
    return BadRequest(
        f"`{path}` is wrong: {reason[:1].lower()}{reason[1:]}." if path else f"{reason}.", param=path or None
    )
