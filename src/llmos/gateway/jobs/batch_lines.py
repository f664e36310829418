"""The lines of a batch's input, output and error files, in OpenAI's format. An invalid line is one error, no more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import msgspec

from llmos.core.errors import BadRequest, Conflict, LLMOSError
from llmos.core.json_text import read_json
from llmos.data.journal import Entry
from llmos.gateway.http.requests import MAX_BODY_BYTES
from llmos.gateway.jobs.internal_requests import Reply
from llmos.gateway.jobs.personal_lines import body_digest

MAX_CUSTOM_ID_LENGTH = 512

_MAX_LINE_BYTES = MAX_BODY_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch."""

    number: int
    """The line number in the file, from 1."""
    custom_id: str | None
    body: bytes = b""
    refusal: LLMOSError | None = None
    """The reason why the request can't be sent, or None."""


def read_lines(
    open_file: Callable[[], BinaryIO], endpoint: str, is_erased: Callable[[bytes], bool] | None = None
) -> Iterator[Line]:
    """Yield the requests of a batch for `endpoint`. Empty lines are skipped.

    `is_erased`: says of the SHA-256 of a request whether it was erased; see personal_lines.body_digest.
    """
    with open_file() as file:
        for number, text in _texts(file):
            if text is None:
                yield Line(number, None, refusal=BadRequest(f"The line is longer than {_MAX_LINE_BYTES:,} bytes."))
            elif text.strip():
                line = _line(number, text, endpoint)
                if is_erased is not None and line.body and is_erased(body_digest(msgspec.json.decode(line.body))):
                    line = Line(number, line.custom_id, refusal=_ERASED)
                yield line


def _texts(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number, and None instead of a line that is too long."""
    number = 1
    while text := file.readline(_MAX_LINE_BYTES + 1):
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")  # Editors on Windows add a byte order mark.
        if len(text) <= _MAX_LINE_BYTES:
            yield number, text
        else:
            while text and not text.endswith(b"\n"):
                text = file.readline(_MAX_LINE_BYTES)
            yield number, None
        number += 1


def _line(number: int, text: bytes, endpoint: str) -> Line:
    try:
        fields, text = read_json(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        return Line(number, None, refusal=BadRequest(f"The line is not valid JSON: {reason}."))
    if not isinstance(fields, dict):
        return Line(number, None, refusal=BadRequest("The line must be a JSON object."))
    custom_id = fields.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_LENGTH:
        refusal = BadRequest(
            f"`custom_id` must be a string of 1 to {MAX_CUSTOM_ID_LENGTH} characters, unique in the file.",
            param="custom_id",
        )
        return Line(number, None, refusal=refusal)
    if (wrong := _refusal(fields, endpoint)) is not None:
        return Line(number, custom_id, refusal=wrong)
    # Decoded again for the raw body: the endpoint must get the bytes of the file, to the last digit.
    return Line(number, custom_id, bytes(msgspec.json.decode(text, type=_Body).body))


_ERASED = Conflict("This request was erased at the request of the person whose data it has, and isn't run again.")


class _Body(msgspec.Struct):
    body: msgspec.Raw


_UNSUPPORTED = {
    "stream": "batches don't stream",
    "priority": "live calls always come before batches",
}
"""Fields of a live call that a batch does not support."""


def _refusal(fields: dict[str, Any], endpoint: str) -> BadRequest | None:
    """Return what is wrong with a line, except within its body, which the endpoint checks."""
    for name in fields.keys() - {"custom_id", "method", "url", "body"}:
        return BadRequest(f"There is no field `{name[:80]}`. A line has custom_id, method, url and body.", param=name)
    method, url, body = (fields.get(name) for name in ("method", "url", "body"))
    if method != "POST":
        return BadRequest(f"`method` is {method!r:.80}; it accepts 'POST'.", param="method")
    if url != endpoint:
        return BadRequest(f"`url` is {url!r:.80}, but the endpoint of the batch is {endpoint}.", param="url")
    if not isinstance(body, dict):
        return BadRequest("`body` must be a JSON object: the request itself.", param="body")
    for name, reason in _UNSUPPORTED.items():
        if body.get(name):
            return BadRequest(f"`body.{name}` is not supported: {reason}. Leave it out.", param=f"body.{name}")
    return None


class LineResponse(msgspec.Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class LineError(msgspec.Struct):
    code: str
    message: str
    line: int
    param: str | None = None


class OutputLine(msgspec.Struct):
    id: str
    """Ends in the line number of the input."""
    custom_id: str | None
    response: LineResponse | None
    error: LineError | None


def answered_entry(batch_id: str, line: Line, reply: Reply) -> Entry:
    """Return the entry of a line that an endpoint answered, with success or an error."""
    body = msgspec.Raw(reply.body.replace(b"\n", b" "))  # In JSON, a line break is whitespace.
    response = LineResponse(reply.status, reply.headers.get("x-request-id", ""), body)
    return _entry(batch_id, line, response=response)


def refused_entry(batch_id: str, line: Line, error: LLMOSError) -> Entry:
    """Return the entry of a line that could not be sent to the endpoint."""
    return failed_entry(batch_id, line, error.code, f"Line {line.number}: {error.message}", error.param)


def failed_entry(batch_id: str, line: Line, code: str, message: str, param: str | None = None) -> Entry:
    """Return the entry of a line that got no answer."""
    return _entry(batch_id, line, error=LineError(code, message, line.number, param))


def _entry(batch_id: str, line: Line, *, response: LineResponse | None = None, error: LineError | None = None) -> Entry:
    id = f"{batch_id.replace('batch', 'batch_req', 1)}-{line.number}"
    text = msgspec.json.encode(OutputLine(id, line.custom_id, response, error))
    is_error = response is None or response.status_code >= 400
    return Entry(line.number, text, is_error, {} if is_error or response is None else _usage(response.body))


def read_entry(text: bytes, is_error: bool) -> Entry:
    """Parse the entry from a line of the output or error file. Raises ValueError for any other line."""
    try:
        line = msgspec.json.decode(text, type=OutputLine)
        number = int(line.id.rpartition("-")[2])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"not a line of a batch: {error}") from error
    usage = {} if is_error or line.response is None else _usage(line.response.body)
    return Entry(number, text, is_error, usage)


class _Details(msgspec.Struct):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    """The usage in an endpoint's answer: prompt_tokens in chat and completions, input_tokens in responses."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _BodyWithUsage(msgspec.Struct):
    usage: _Usage | None = None


def _usage(body: msgspec.Raw) -> dict[str, int]:
    try:
        usage = msgspec.json.decode(body, type=_BodyWithUsage).usage or _Usage()
    except msgspec.ValidationError:
        return {}  # This endpoint reports its usage in another form.
    read = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    written = usage.completion_tokens_details or usage.output_tokens_details or _Details()
    return {
        "input_tokens": usage.prompt_tokens + usage.input_tokens,
        "cached_tokens": read.cached_tokens,
        "output_tokens": usage.completion_tokens + usage.output_tokens,
        "reasoning_tokens": written.reasoning_tokens,
    }
