"""Uploads: files that a form sends, on their way to the server's API, in bounded memory.

A form works without scripts. With the script upload.js it shows how far it is, and the answer is an address in place of
a redirect, because a redirect would be followed unseen.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from secrets import compare_digest
from tempfile import TemporaryFile
from typing import IO

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.responses import PlainTextResponse, Response

from llmos.console.view import View
from llmos.core.errors import BadRequest, PermissionDenied, TooLarge

MAX_BYTES = 256 * 2**20
"""The limit of all files of a form. Larger ones are for the command, which goes on after a break."""

MAX_FILES = 500
_MAX_FIELD_BYTES = 16 * 1024
_PIECE_BYTES = 4 * 2**20


@dataclass(slots=True)
class SentFile:
    """A file of a form, on the disk without a name."""

    name: str
    content: IO[bytes]
    size: int = 0
    hashing: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        return f"sha256:{self.hashing.hexdigest()}"

    def add(self, data: bytes) -> None:
        self.content.write(data)
        self.hashing.update(data)
        self.size += len(data)


@dataclass(slots=True)
class SentForm:
    fields: dict[str, str]
    files: Sequence[SentFile]


@asynccontextmanager
async def sent_form(view: View) -> AsyncIterator[SentForm]:
    """Read the form with files that was sent. Its files are gone when the context ends.

    Raises BadRequest for a malformed form, TooLarge, and PermissionDenied for one that isn't of this session.
    """
    kind, options = parse_options_header(view.request.headers.get("content-type", ""))
    with ExitStack() as held:
        if kind == "multipart/form-data" and (boundary := options.get("boundary")):
            form = await _read(view, PushMultipartParser(boundary, max_segment_count=MAX_FILES + 32), held)
            view.api.csrf_token = form.fields.pop("csrf_token", "")
            view.form_came_from = form.fields.pop("back", "")
        else:
            form = SentForm(await view.form(), [])
        if not compare_digest(view.api.csrf_token or "", view.session.csrf_token):
            raise PermissionDenied("The form has a CSRF token that isn't this session's. Load the page again.")
        yield form


async def send_file(view: View, path: str, file: SentFile) -> None:
    """Give a file to the API, in parts. `path`: of the uploads there."""
    file.content.seek(0)
    first = 0
    while True:
        piece = await asyncio.to_thread(file.content.read, _PIECE_BYTES)
        place = f"bytes {first}-{first + len(piece) - 1}/{file.size}" if file.size else "bytes */0"
        await view.api.send_bytes("PUT", f"{path}/{file.digest}", piece, {"content-range": place})
        first += len(piece)
        if first >= file.size:
            return


def answer(view: View, response: Response) -> Response:
    """Return a redirect as it is, or as its address for the script that sent the form."""
    if view.request.headers.get("x-upload") != "script":
        return response
    plain = PlainTextResponse(response.headers["location"])
    for name, value in response.raw_headers:
        if name == b"set-cookie":
            plain.raw_headers.append((name, value))
    return plain


async def _read(view: View, parser: PushMultipartParser, held: ExitStack) -> SentForm:
    form, reading = SentForm({}, []), _Reading(held)
    num_bytes = 0
    try:
        async for chunk in view.request.stream():
            num_bytes += len(chunk)
            if num_bytes > MAX_BYTES:
                raise TooLarge(view.t("upload.too_large", size=view.t.size(MAX_BYTES)))
            for event in parser.parse(chunk):
                await reading.take(event)
        parser.close()
    except MultipartError as error:
        raise BadRequest(f"The form is not valid: {error}. Send it again.") from None
    form.fields, form.files = reading.fields, [file for file in reading.files if file.name]
    return form


class _Reading:
    """The parts of a form, as they come."""

    def __init__(self, held: ExitStack) -> None:
        self.fields: dict[str, str] = {}
        self.files: list[SentFile] = []
        self._held = held
        self._name = ""
        self._value = bytearray()
        self._file: SentFile | None = None

    async def take(self, event: "MultipartSegment | bytearray | bytes | None") -> None:
        if isinstance(event, MultipartSegment):
            self._name, self._file = event.name or "", None
            if event.filename is not None:
                content = self._held.enter_context(TemporaryFile())  # noqa: SIM115 -- the stack closes it
                self._file = SentFile(plain_name(event.filename), content)
                self.files.append(self._file)
        elif event is None:
            if self._file is None:
                self.fields[self._name] = self._value.decode("utf-8", "replace")
            self._value.clear()
        elif self._file is not None:
            await asyncio.to_thread(self._file.add, bytes(event))
        else:
            self._value += event
            if len(self._value) > _MAX_FIELD_BYTES:
                raise BadRequest(f"The field {self._name[:80]} has more than {_MAX_FIELD_BYTES:,} bytes.")


def plain_name(filename: str) -> str:
    """Return the name of a file without its folders, which some browsers send."""
    return PurePosixPath(filename.replace("\\", "/")).name
