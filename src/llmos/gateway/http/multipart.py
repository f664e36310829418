"""Forms that contain a file, as browsers and OpenAI's client send them. The file is passed on while it arrives."""

import asyncio
from collections.abc import Callable

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import Request

from llmos.core.errors import BadRequest, LLMOSError, TooLarge
from llmos.gateway.http.requests import body_chunks

MAX_PARTS = 32
MAX_FIELD_BYTES = 16 * 1024
_MAX_FRAMING_BYTES = MAX_PARTS * (MAX_FIELD_BYTES + 1024)
"""The most that a form may have besides its file."""
_PIECE_BYTES = 2**20


async def read_form(request: Request, file_field: str, write: Callable[[bytes], None], limit_bytes: int) -> "Form":
    """Read the body of `request` as a form. Calls `write`, in a thread, with one piece of the file after another.

    Raises TooLarge for a file over the limit, and BadRequest for a malformed form.
    """
    form = Form(_boundary(request), file_field, limit_bytes)
    refusal: LLMOSError | None = None
    try:
        async for chunk in body_chunks(request, limit_bytes + _MAX_FRAMING_BYTES):
            if refusal is None:
                try:
                    form.feed(chunk)
                except (BadRequest, TooLarge) as error:
                    refusal = error  # Most clients read no response before they have sent the whole request.
            if len(form.piece) >= _PIECE_BYTES:
                await asyncio.to_thread(write, form.take_piece())
    except TooLarge:
        raise form.too_large() from None
    if refusal is not None:
        raise refusal
    form.end()
    await asyncio.to_thread(write, form.take_piece())
    return form


class Form:
    """A form that is parsed while its bytes arrive."""

    def __init__(self, boundary: str, file_field: str, limit_bytes: int) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """None if the form has no file."""
        self.piece = bytearray()
        """Bytes of the file that take_piece() has not returned yet."""
        self._parser = PushMultipartParser(boundary, max_segment_count=MAX_PARTS)
        self._file_field = file_field
        self._limit_bytes = limit_bytes
        self._name = ""
        self._value = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes. Raises TooLarge for the file, and BadRequest for a malformed form."""
        try:
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    self._open(event)
                elif event is None:
                    self._close()
                elif self._name == self._file_field:
                    self._add_to_file(event)
                else:
                    self._add_to_field(event)
        except MultipartError as error:
            raise BadRequest(f"The body is not a valid form: {error}.") from None

    def end(self) -> None:
        """Finish parsing. Raises BadRequest for an incomplete form."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise BadRequest(f"The body is not a valid form: {error}.") from None
        if self.filename is None:
            raise BadRequest(f"`{self._file_field}` is missing.", param=self._file_field)

    def take_piece(self) -> bytes:
        """Return the bytes of the file that arrived since the last call."""
        piece, self.piece = bytes(self.piece), bytearray()
        return piece

    def too_large(self) -> TooLarge:
        return TooLarge(
            f"The file is larger than {self._limit_bytes:,} bytes, the limit of this server. Split it.",
            param=self._file_field,
        )

    def _open(self, segment: MultipartSegment) -> None:
        name = self._name = segment.name or ""
        if name in self.fields or (name == self._file_field and self.filename is not None):
            raise BadRequest(f"`{name}` is given twice. Send it once.", param=name)
        if name == self._file_field:
            if segment.filename is None:
                raise BadRequest(f"`{name}` must be a file: `curl -F {name}=@PATH` sends one.", param=name)
            self.filename = segment.filename
            self._num_file_bytes = 0

    def _add_to_file(self, data: bytes) -> None:
        self._num_file_bytes += len(data)
        if self._num_file_bytes > self._limit_bytes:
            raise self.too_large()
        self.piece += data

    def _add_to_field(self, data: bytes) -> None:
        self._value += data
        if len(self._value) > MAX_FIELD_BYTES:
            raise BadRequest(f"`{self._name}` has more than {MAX_FIELD_BYTES:,} bytes.", param=self._name)

    def _close(self) -> None:
        if self._name == self._file_field:
            return
        try:
            self.fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"`{self._name}` is not valid UTF-8.", param=self._name) from None
        self._value.clear()


def _boundary(request: Request) -> str:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get("boundary")
    if kind != "multipart/form-data" or not boundary or not boundary.isascii():
        raise BadRequest("The body must be a form: send it as multipart/form-data, as `curl -F` does.")
    return str(boundary)
