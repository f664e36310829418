"""Parsing: the bytes of a request become a typed struct, or an error that names the field and says how to fix it."""

import codecs
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from llmos.core.errors import BadRequest, TooLarge
from llmos.core.json_text import read_json
from llmos.core.suggest import nearest
from llmos.gateway.http.allowed_values import allowed_values
from llmos.gateway.http.compression import find_encoding, unpack
from llmos.gateway.http.ignored import IgnoredFields, ignored_fields

MAX_BODY_BYTES = 32 * 2**20
MAX_DISCARDED_BYTES = 128 * 2**20
_MAX_PACKET_BYTES = 2**18

Int64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)
"""The integers that msgpack can carry to the replica."""


def described(**schema: Any) -> msgspec.Meta:
    """Return what the document says of a field besides its type. The server itself checks it later, with advice."""
    return msgspec.Meta(extra_json_schema=schema)


NOT_EMPTY = described(minLength=1)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field that LLMOS does not support and that would change the answer. Rejected unless its value is neutral."""

    advice: str
    neutral: tuple[Any, ...] = ()
    """Values that request nothing, such as a default."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A field that LLMOS has no use for, and that asks for nothing that would change what an answer means: an effort, a
    label, advice on caching. Accepted, and named in the response; see ignored.py."""

    neutral: tuple[Any, ...] = ()
    """Values that request nothing, such as a default. They are not named."""


@dataclass(frozen=True, slots=True)
class Variants:
    """Objects of several kinds, distinguished by their `type`, that a field or the list in it may hold."""

    kinds: "Mapping[str, type[RequestObject]]"
    refused: Mapping[str, str] = field(default_factory=dict)
    """Advice for types that LLMOS does not support. The key "" is for all types not listed."""
    default: str | None = None
    """The type of an object without a `type`."""
    replaced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Types that LLMOS can't read, each with the object that takes its place. The response names them as ignored."""
    leaves_out: bool = False
    """In a list, objects of other types are left out. The response names them as ignored."""


class RequestObject(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A JSON object in a request. A field that is null counts as missing."""

    harmless: ClassVar[frozenset[str]] = frozenset()
    """Fields that are accepted and ignored: they are parts of earlier answers, or say what is so anyway."""
    unsupported: ClassVar[Mapping[str, Unsupported | Hint]] = {}
    objects: ClassVar[Mapping[str, "type[RequestObject]"]] = {}
    """Fields that hold an object, with its type."""
    lists: ClassVar[Mapping[str, "type[RequestObject]"]] = {}
    """Fields that hold a list of objects, with their type."""
    variants: ClassVar[Mapping[str, Variants]] = {}
    """Fields that hold objects of several kinds. Their structs have the tag field `type`."""


R = TypeVar("R", bound=RequestObject)


async def parse_body(request: Request, kind: type[R]) -> R:
    """Return the body of `request` as a `kind`. Raises TooLarge, and BadRequest naming the field."""
    return decode(await read_body(request), kind, ignored_fields(request.scope))


def parse_query(request: Request, kind: type[R]) -> R:
    """Return the query string of `request` as a `kind`. Raises BadRequest naming the field."""
    given = request.query_params.multi_items()
    fields = dict(given)
    if "\0" in "".join(fields.values()):
        raise BadRequest("A parameter has a NUL character. Leave out %00.")
    if len(fields) < len(given):
        names = [name for name, _ in given]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"`{twice:.100}` is given twice. Send it once.", param=twice)
    return convert(fields, kind, is_text=True)


async def read_body(request: Request, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raises TooLarge for one over the limit, with or without a Content-Length."""
    if (whole := await _whole_body(request, limit_bytes)) is not None:
        request.state.body = whole
        return whole
    body = b"".join([chunk async for chunk in body_chunks(request, limit_bytes)])
    request.state.body = body  # For the receipt of an answer; see caller_of() in replies.py.
    return body


async def _whole_body(request: Request, limit_bytes: int) -> bytes | None:
    """Return a body that has arrived in one piece, as most do; None for one that body_chunks() must read."""
    headers = request.headers
    declared = headers.get("content-length", "")
    is_plain = declared.isdecimal() and "content-encoding" not in headers and "expect" not in headers
    if not is_plain or int(declared) > min(limit_bytes, _MAX_PACKET_BYTES):
        return None
    pieces = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def body_chunks(request: Request, limit_bytes: int, what: str = "request") -> AsyncIterator[bytes]:
    """Yield the body while it arrives, without its Content-Encoding.

    Raises TooLarge for one over the limit, compressed or not, with or without a Content-Length; UnsupportedMediaType
    for an encoding that can't be unpacked; BadRequest for wrong data. `what`: the name of the body in messages.
    """
    encoding = find_encoding(request.headers.get("content-encoding", ""))
    received = _received(request, limit_bytes, what)
    if encoding is None:
        async for chunk in received:
            yield chunk
        return
    num_bytes = 0
    async for piece in unpack(received, encoding):
        num_bytes += len(piece)
        if num_bytes > limit_bytes:
            raise TooLarge(f"Unpacked, the {what} is larger than {limit_bytes:,} bytes, the limit of this server.")
        yield piece


async def _received(request: Request, limit_bytes: int, what: str) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises TooLarge for one over the limit."""
    too_large = TooLarge(f"The {what} is larger than {limit_bytes:,} bytes, the limit of this server. Split it.")
    declared = request.headers.get("content-length", "")
    is_too_large = declared.isdecimal() and int(declared) > limit_bytes
    if is_too_large and "100-continue" in request.headers.get("expect", ""):
        raise too_large  # The client waits for permission before it sends the body.
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > limit_bytes or is_too_large:
            # Most clients read no response before they have sent the whole request: discard it, up to a limit.
            is_too_large = True
            if num_bytes > limit_bytes + MAX_DISCARDED_BYTES:
                break
        elif chunk:
            yield chunk
    if is_too_large:
        raise too_large


def decode(body: bytes, kind: type[R], ignored: IgnoredFields | None = None) -> R:
    """Return the JSON object in `body` as a `kind`. Raises BadRequest naming the field.

    `ignored` gets the names of the hints in it.
    """
    decoder, signs = _decoder(kind)
    if not any(sign in body for sign in signs):
        try:
            decoded: R = decoder.decode(body)
            return decoded
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # It has a field that isn't one of the struct's, or is wrong: convert() says which.
    return convert(decode_object(body), kind, ignored=ignored)


@cache
def _decoder(kind: type[RequestObject]) -> tuple["msgspec.json.Decoder[Any]", Sequence[bytes]]:
    """Return the decoder of the objects that mean the same to msgspec, and what others have in them: a null, which
    counts as missing, and fields with variants."""
    return msgspec.json.Decoder(kind), [b"null", *(f'"{name}"'.encode() for name in _variant_fields(kind))]


def _variant_fields(kind: type[RequestObject]) -> set[str]:
    inner = [*kind.objects.values(), *kind.lists.values()]
    return {*kind.variants, *(name for each in inner for name in _variant_fields(each))}


def decode_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises BadRequest."""
    fields = _parse(body)
    if not isinstance(fields, dict):
        raise BadRequest(f"The body must be a JSON object; this one is {_json_type(fields)}.")
    return fields


def convert(
    fields: Mapping[str, Any],
    kind: type[R],
    where: str = "",
    *,
    is_text: bool = False,
    ignored: IgnoredFields | None = None,
) -> R:
    """Return `fields` as a `kind`. Raises BadRequest naming the field.

    `where`: the path of the object within the request, such as `input[3].`, for error messages.
    `is_text`: all values are strings, as in a form or a query string; numbers are parsed from them.
    `ignored` gets the names of the hints in them.
    """
    try:
        cleaned = _clean(fields, kind, where, IgnoredFields() if ignored is None else ignored)
        converted = msgspec.convert(cleaned, kind, str_keys=True, strict=not is_text)
    except msgspec.ValidationError as error:
        raise _explain(str(error), where, kind) from None
    if is_text and (nulls := [name for name in fields if getattr(converted, name, "") is None]):
        raise BadRequest(f"`{nulls[0]}` is {fields[nulls[0]]!r:.100}: leave it out instead.", param=nulls[0])
    return converted


def _parse(body: bytes) -> Any:
    body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259, 8.1: a parser may ignore it. Windows programs write it.
    if not body.strip():
        raise BadRequest("The body is empty; send a JSON object.")
    try:
        return read_json(body)[0]
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid UTF-8: {error.reason}.") from None
    except msgspec.MsgspecError as error:
        reason = str(error).removeprefix("JSON is malformed: ").partition(" - at ")[0]
        raise BadRequest(f"The body is not valid JSON: {reason[:1].lower()}{reason[1:]}.") from None


def _clean(fields: Mapping[str, Any], kind: type[RequestObject], where: str, ignored: IgnoredFields) -> dict[str, Any]:
    """Drop nulls and ignored fields. Raises BadRequest for an unknown or unsupported field."""
    known = kind.__struct_encode_fields__
    cleaned: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or name in kind.harmless:
            continue
        path = f"{where}{name}"
        if name in known:
            cleaned[name] = _clean_value(name, value, kind, path, ignored)
            continue
        if name not in kind.unsupported:
            raise _unknown(name, [*known], path)
        use = kind.unsupported[name]
        if value in use.neutral:
            continue
        if isinstance(use, Unsupported):
            raise BadRequest(f"`{path}` is not supported: {use.advice}", param=path)
        ignored.add(path)
    return cleaned


def _clean_value(name: str, value: Any, kind: type[RequestObject], path: str, ignored: IgnoredFields) -> Any:
    if name in kind.objects and isinstance(value, dict):
        return _clean(value, kind.objects[name], f"{path}.", ignored)
    if name in kind.variants:
        if isinstance(value, list):
            each_kind = kind.variants[name]
            cleaned = [_clean_variant(each, each_kind, f"{path}[{i}]", ignored) for i, each in enumerate(value)]
            return [each for each in cleaned if each is not _LEFT_OUT]
        return _clean_variant(value, kind.variants[name], path, ignored)
    if name in kind.lists and isinstance(value, list):
        inner = kind.lists[name]
        return [
            _clean(each, inner, f"{path}[{i}].", ignored) if isinstance(each, dict) else each
            for i, each in enumerate(value)
        ]
    return value  # convert() reports a wrong type.


_LEFT_OUT = object()


def _clean_variant(value: Any, variants: Variants, path: str, ignored: IgnoredFields) -> Any:
    if not isinstance(value, dict):
        return value
    name = value.get("type")
    if name is None:
        name = variants.default
    if name is None:
        raise BadRequest(f"`{path}.type` is missing; it accepts {', '.join(variants.kinds)}.", param=f"{path}.type")
    kind = variants.kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        if isinstance(name, str) and (variants.leaves_out or name in variants.replaced):
            ignored.add(f"{path}.{name}")
            return _LEFT_OUT if variants.leaves_out else dict(variants.replaced[name])
        advice = variants.refused.get(name) if isinstance(name, str) else None
        advice = advice or variants.refused.get("") or f"it accepts {', '.join(variants.kinds)}."
        raise BadRequest(f"`{path}.type` is {name!r}: {advice}", param=f"{path}.type")
    rest = {key: item for key, item in value.items() if key != "type"}
    return {"type": name, **_clean(rest, kind, f"{path}.", ignored)}


def _unknown(name: str, known: list[str], path: str) -> BadRequest:
    near = nearest(name, known, limit=1, cutoff=0.6)
    advice = f"Did you mean `{near[0]}`?" if near else "Leave it out."
    return BadRequest(f"There is no field `{path}`. {advice}", param=path)


# msgspec's names of types, and JSON's.
_JSON_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object"}


def _json_type(value: Any) -> str:
    words = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return words.get(type(value), "null")


def _explain(message: str, where: str, kind: type[RequestObject]) -> BadRequest:
    """Convert "Expected `float`, got `str` - at `$.temperature`" into a BadRequest about temperature."""
    reason, _, location = message.partition(" - at ")
    path = location.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".")
    path = (where + path).rstrip(".")
    missing = re.match(r"Object missing required field `(.+)`", reason)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return BadRequest(f"`{path}` is missing.", param=path)
    if (wrong := re.match(r"Invalid enum value (.*)", reason)) and (
        values := allowed_values(kind, location.strip("`"))
    ):
        return BadRequest(f"`{path}` is {wrong[1]:.100}; it accepts {', '.join(values)}.", param=path)
    reason = re.sub(r"\b(str|int|float|bool|dict)\b", lambda word: _JSON_WORDS[word[0]], reason).replace("`", "")
    reason = reason.replace(" | null", "")  # A null counts as missing.
    return BadRequest(
        f"`{path}` is wrong: {reason[:1].lower()}{reason[1:]}." if path else f"{reason}.", param=path or None
    )
