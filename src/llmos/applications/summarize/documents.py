"""Documents: the text that a summary is made of, and citations of places in it. It knows no model."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmos.client.asynchronous import AsyncClient
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import Citation
from llmos.core.sentences import Span

MAX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A text, and its name and place for citations."""

    text: str
    name: str = "text"
    knowledge: str = ""
    """The Version of the knowledge that has it, such as handbook@3; without one it is a text or a file."""
    digest: str = ""
    """sha256:<hex> of the document's file, or of the text."""

    def cite(self, span: Span) -> Citation:
        """Return a citation of a place, in characters."""
        start, end = span
        return Citation(
            knowledge=self.knowledge,
            document=self.name,
            digest=self.digest,
            start=start,
            end=end,
            quote=self.text[start:end],
        )


def text_document(text: str, name: str = "text") -> Document:
    """Return a text as a document."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return Document(text=text, name=name, digest=f"sha256:{digest}")


def file_document(folder: Path, name: str) -> Document:
    """Return a text file of a folder. Raises BadRequest for a file outside of it, and one that isn't text.

    An application on a server reads what its caller names, so it reads from one folder only.
    """
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise BadRequest(f"{name} lies outside of the folder {folder.name}.", param="file")
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise BadRequest(f"The file {name} can't be read: {error.strerror}.", param="file") from None
    if content is None:
        raise BadRequest(f"The file {name} has more than {MAX_BYTES >> 20} MB. Split it.", param="file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(
            f"The file {name} isn't UTF-8 text. Add it to knowledge, which reads PDF, Word and other files, and name"
            " `knowledge` and `document`.",
            param="file",
        ) from None
    return Document(text=text, name=name, digest=f"sha256:{hashlib.sha256(content).hexdigest()}")


async def known_document(connect: Callable[[], AsyncClient], knowledge: str, name: str) -> Document:
    """Return a document of the server's knowledge. Raises NotFound."""
    async with connect() as client:
        whole = await client.knowledge.passage(knowledge, name)
    return Document(text=whole.quote, name=name, knowledge=whole.knowledge, digest=whole.digest)
