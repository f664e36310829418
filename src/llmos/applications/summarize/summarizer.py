"""Summarizer: the brain of the application. It finds the document, and quotes or composes the summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from llmos.applications.summarize.aspects import Aspect, aspect_of
from llmos.applications.summarize.composing import Composed, Composer
from llmos.applications.summarize.documents import Document, file_document, known_document, text_document
from llmos.applications.summarize.extracting import Length, central_sentences, num_words
from llmos.apps import Reply, Sentence
from llmos.client.asynchronous import AsyncClient
from llmos.client.grounding import supported_text
from llmos.core.errors import BadRequest
from llmos.core.sentences import sentences_in

Mode = Literal["quote", "compose"]
Unsupported = Literal["drop", "mark"]

_SHORT_CHARS = 2_000
EMPTY = "The document is empty: there is nothing to summarize."
_NOT_CHECKED = "No sentence was checked, and none has citations: {}"
_NOTHING_SUPPORTED = "The document supports nothing that the model wrote. Sentences of the document stand in its place."


@dataclass(frozen=True, kw_only=True, slots=True)
class Summarizer:
    """Summarizes a text, a file or a document of knowledge.

    app = App.from_folder(__file__, brain=Summarizer(folder=Path(__file__).parent / "data"))
    app.run("", variables={"file": "minutes.md", "sentences": 5}).text
    """

    folder: Path | None = None
    """The folder of the files that callers may name; None if callers can't name files."""
    chunk_tokens: int = 1500
    """The most tokens of a prompt with a part of the document. Small models summarize short parts more completely."""
    connect: Callable[[], AsyncClient] = AsyncClient

    async def __call__(
        self,
        text: Any,
        *,
        mode: Mode = "quote",
        sentences: Annotated[int, Field(ge=1, le=50)] = 3,
        words: Annotated[int | None, Field(ge=1, le=5000)] = None,
        aspect: Annotated[str, Field(max_length=500)] = "",
        file: str = "",
        knowledge: str = "",
        document: str = "",
        unsupported: Unsupported = "drop",
    ) -> Reply:
        """Return the summary of a text. With `file`, or `knowledge` and `document`, the text says the aspect.

        mode: "quote" takes sentences of the document, "compose" lets the model write. sentences, words: the most that
        it has. unsupported: leave out what the document doesn't support, or mark it.
        """
        given = text if isinstance(text, str) else ""
        if not isinstance(text, str):
            raise BadRequest(f"The input is {type(text).__name__}; it is a text.", param="input")
        source = await self._document(given, file, knowledge, document)
        about = aspect_of(aspect or (given if file or knowledge else ""))
        length = Length(sentences=sentences, words=words)
        quoted = _quoted(source, about, length)
        if mode == "quote" or _is_short(source.text, length):
            return quoted
        composer = Composer(document=source, aspect=about, length=length, chunk_tokens=self.chunk_tokens)
        return _reply(await composer.compose(), unsupported, quoted)

    async def _document(self, text: str, file: str, knowledge: str, document: str) -> Document:
        if bool(knowledge) != bool(document):
            raise BadRequest("Name both `knowledge` and `document`, or neither.", param="document")
        if file and knowledge:
            raise BadRequest("Name a `file`, or a `document` of knowledge, and not both.", param="file")
        if knowledge:
            return await known_document(self.connect, knowledge, document)
        if not file:
            return text_document(text)
        if self.folder is None:
            raise BadRequest("This application reads no files: give it the text.", param="file")
        return file_document(self.folder, file)


def _is_short(text: str, length: Length) -> bool:
    """Return whether a text has no more sentences than its summary may have: it is its own summary."""
    spans = [*islice(sentences_in(text), length.sentences + 1)]
    fits = length.words is None or num_words(text) <= length.words
    return not spans or (len(spans) <= length.sentences and fits and spans[-1][1] - spans[0][0] <= _SHORT_CHARS)


def _quoted(document: Document, aspect: Aspect, length: Length) -> Reply:
    """Return a summary of the document's own sentences."""
    spans = central_sentences(document.text, aspect, length)
    if not spans:
        return Reply(text=EMPTY, abstained=True)
    citations = [document.cite(span) for span in spans]
    sentences = [Sentence(text=" ".join(each.quote.split()), citations=(each,)) for each in citations]
    text = " ".join(each.text for each in sentences)
    return Reply(text=text, sentences=sentences, notes=_notes_on_length(text, length))


def _reply(composed: Composed, unsupported: Unsupported, quoted: Reply) -> Reply:
    """Return what the model wrote, as far as it is supported; without any of it, the quoted summary."""
    if composed.problem:
        return Reply(text=composed.text, notes=[_NOT_CHECKED.format(composed.problem)])
    text = supported_text(composed.text, composed.sentences, unsupported)
    if not text:
        return Reply(text=quoted.text, sentences=quoted.sentences, notes=[_NOTHING_SUPPORTED, *quoted.notes])
    said = [each for each in composed.sentences if each.is_supported or unsupported == "mark"]
    return Reply(text=text, sentences=said, notes=_notes_on_dropped(len(composed.sentences) - len(said)))


def _notes_on_length(text: str, length: Length) -> Sequence[str]:
    if length.words is not None and (count := num_words(text)) > length.words:
        return [f"The shortest sentence that fits has {count} words, more than {length.words}."]
    return []


def _notes_on_dropped(number: int) -> Sequence[str]:
    if not number:
        return []
    what = "One sentence was" if number == 1 else f"{number} sentences were"
    return [
        f"{what} left out: the document doesn't support it."
        if number == 1
        else f"{what} left out: the document doesn't support them."
    ]
