"""The lines of a batch's input, output and errors, as OpenAI spells them. A line that can't be read is one error."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from llmos.core.errors import BadRequest, LLMOSError
from llmos.data.journal import Entry
from llmos.gateway.http.requests import MAX_BODY_BYTES
from llmos.gateway.jobs.inside import Reply

MAX_CUSTOM_ID_LENGTH = 512
_MAX_LINE_BYTES = MAX_BODY_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch."""

    number: int
    """Of its line in the file, from 1."""
    custom_id: str | None
    body: bytes = b""
    refusal: LLMOSError | None = None
    """Why it can't be asked at all."""


def read_lines(path: Path, endpoint: str) -> Iterator[Line]:
    """Yield the requests of a batch to `endpoint`. Empty lines are none."""
    with path.open("rb") as file:
        for number, text in _texts(file):
            if text is None:
                yield Line(number, None, refusal=BadRequest(f"It is longer than {_MAX_LINE_BYTES:,} bytes."))
            elif text.strip():
                yield _line(number, text, endpoint)


def _texts(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number. None in place of one that nobody could keep in memory."""
    number = 1
    while text := file.readline(_MAX_LINE_BYTES + 1):
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")  # Windows' editors begin a file so.
        if len(text) <= _MAX_LINE_BYTES:
            yield number, text
        else:
            while text and not text.endswith(b"\n"):
                text = file.readline(_MAX_LINE_BYTES)
            yield number, None
        number += 1


def _line(number: int, text: bytes, endpoint: str) -> Line:
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        return Line(number, None, refusal=BadRequest(f"It is not valid JSON: {reason}."))
    if not isinstance(fields, dict):
        return Line(number, None, refusal=BadRequest("It must be a JSON object."))
    custom_id = fields.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_LENGTH:
        refusal = BadRequest(
            f"`custom_id` must be a text of 1 to {MAX_CUSTOM_ID_LENGTH} characters that no other line has.",
            param="custom_id",
        )
        return Line(number, None, refusal=refusal)
    if (wrong := _refusal(fields, endpoint)) is not None:
        return Line(number, custom_id, refusal=wrong)
    # Once more, for the body as it stands: what is asked must be what was written, down to the last digit.
    return Line(number, custom_id, bytes(msgspec.json.decode(text, type=_Body).body))


class _Body(msgspec.Struct):
    body: msgspec.Raw


_UNSUITED = {
    "stream": "a batch's answers are whole",
    "priority": "whatever is in a batch comes after the live calls",
}
"""What a live call may ask for and a line may not."""


def _refusal(fields: dict[str, Any], endpoint: str) -> BadRequest | None:
    """Say what is wrong with a line, short of its body, which the endpoint looks at."""
    for name in fields.keys() - {"custom_id", "method", "url", "body"}:
        return BadRequest(f"There is no field `{name[:80]}`. A line has custom_id, method, url and body.", param=name)
    method, url, body = (fields.get(name) for name in ("method", "url", "body"))
    if method != "POST":
        return BadRequest(f"`method` is {method!r:.80}; it takes 'POST'.", param="method")
    if url != endpoint:
        return BadRequest(f"`url` is {url!r:.80}, but the batch was made for {endpoint}.", param="url")
    if not isinstance(body, dict):
        return BadRequest("`body` must be a JSON object: the request itself.", param="body")
    for name, reason in _UNSUITED.items():
        if body.get(name):
            return BadRequest(f"`body.{name}` is not supported: {reason}. Leave it out.", param=f"body.{name}")
    return None


class Answered(msgspec.Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class Unanswered(msgspec.Struct):
    code: str
    message: str
    line: int
    param: str | None = None


class OutputLine(msgspec.Struct):
    id: str
    """Ends in the number of the input's line."""
    custom_id: str | None
    response: Answered | None
    error: Unanswered | None


def answered(batch_id: str, line: Line, reply: Reply) -> Entry:
    """Return the entry of a line that an endpoint has answered, well or not."""
    body = msgspec.Raw(reply.body.replace(b"\n", b" "))  # In JSON a line break is nothing but space.
    response = Answered(reply.status, reply.headers.get("x-request-id", ""), body)
    return _entry(batch_id, line, response=response)


def refused(batch_id: str, line: Line, error: LLMOSError) -> Entry:
    return unanswered(batch_id, line, error.code, f"Line {line.number}: {error.message}", error.param)


def unanswered(batch_id: str, line: Line, code: str, message: str, param: str | None = None) -> Entry:
    """Return the entry of a line that no endpoint has seen."""
    return _entry(batch_id, line, error=Unanswered(code, message, line.number, param))


def _entry(batch_id: str, line: Line, *, response: Answered | None = None, error: Unanswered | None = None) -> Entry:
    id = f"{batch_id.replace('batch', 'batch_req', 1)}-{line.number}"
    text = msgspec.json.encode(OutputLine(id, line.custom_id, response, error))
    is_error = response is None or response.status_code >= 400
    return Entry(line.number, text, is_error, {} if is_error or response is None else _usage(response.body))


def read_entry(text: bytes, is_error: bool) -> Entry:
    """Make the entry of a line of the output or the errors again. Raises ValueError for what is none."""
    try:
        line = msgspec.json.decode(text, type=OutputLine)
        number = int(line.id.rpartition("-")[2])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"no line of a batch: {error}") from error
    usage = {} if is_error or line.response is None else _usage(line.response.body)
    return Entry(number, text, is_error, usage)


class _Details(msgspec.Struct):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    """What the endpoints call it: chat and completions the one way, responses the other."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Counted(msgspec.Struct):
    usage: _Usage | None = None


def _usage(body: msgspec.Raw) -> dict[str, int]:
    try:
        usage = msgspec.json.decode(body, type=_Counted).usage or _Usage()
    except msgspec.ValidationError:
        return {}  # Some endpoint counts otherwise. The line itself is as good.
    read = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    written = usage.completion_tokens_details or usage.output_tokens_details or _Details()
    return {
        "input_tokens": usage.prompt_tokens + usage.input_tokens,
        "cached_tokens": read.cached_tokens,
        "output_tokens": usage.completion_tokens + usage.output_tokens,
        "reasoning_tokens": written.reasoning_tokens,
    }
