"""Translator: translates a text segment by segment, and gives no answer that has lost a part of it.

    translator = Translator(ask=ask, glossary=Glossary.read("glossary.csv"), memory=open_memory("memory.jsonl"))
    translated = await translator.translate("Pay 10 € to {name}.", source="en", target="de")

Each sentence is held to a pattern with each of its pieces once, and each answer is checked, whether or not the server
could hold the model to the pattern. What fails every attempt is refused, or stays in the source language.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from llmos.applications.translate.answer_pattern import width
from llmos.applications.translate.cutting import cut
from llmos.applications.translate.glossary import Glossary
from llmos.applications.translate.languages import language_code
from llmos.applications.translate.memory import Memory, NoMemory
from llmos.applications.translate.pairs import Pair, PairIndex
from llmos.applications.translate.prompting import DEFAULT_PROMPT, Asked, Languages, Prompting
from llmos.applications.translate.segments import Document, Segment
from llmos.apps import AppError, Reply
from llmos.core.errors import BadRequest

OnFailure = Literal["refuse", "source"]

_PATTERN_PARAMS = ("structured_outputs", "format")


class Ask(Protocol):
    """One call of a model."""

    def __call__(self, question: Any, /, *, system: str, options: Mapping[str, Any]) -> Awaitable[Any]: ...


class TranslationRefused(AppError):
    """A part of a text has no translation that keeps everything in it."""

    code = "translation_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """A translated text, and what whoever reads it should know."""

    text: str
    notes: Sequence[str] = ()
    num_segments: int = 0
    num_from_memory: int = 0
    num_left: int = 0
    """Segments that stay in the source language, because no answer kept everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Translator:
    """The way in which texts are translated."""

    ask: Ask
    """Calls the model: `llmos.apps.ask` in an app."""
    prompt: str | Path = DEFAULT_PROMPT
    glossary: Glossary = field(default_factory=Glossary)
    memory: Memory = field(default_factory=NoMemory)
    attempts: int = 3
    """Answers to a segment before it is given up. The first one is the likeliest, later ones are drawn."""
    on_failure: OnFailure = "refuse"
    """source: what has no translation stays as it is, and a note says so."""
    num_examples: int = 2
    """Approved pairs of similar sentences in a prompt."""
    min_similarity: float = 0.5
    shows_neighbours: bool = False
    """Show the sentences before and after a segment in its prompt. Small models tend to translate these, too."""
    options: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0})
    """The sampling options of the first attempt."""
    is_held: bool = True
    """Constrain the model's answers to their patterns while it generates. Without it, answers are only checked
    afterwards."""

    async def translate(self, text: str, *, target: str, source: str = "") -> Translation:
        """Return the translation of a text. Raises TranslationRefused."""
        async with aclosing(self.stream(text, target=target, source=source)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Translation):
                    return piece
        raise AssertionError("a stream ends with the translation")

    async def stream(self, text: str, *, target: str, source: str = "") -> AsyncGenerator[str | Translation, None]:
        """Yield the translation line by line, each as soon as those before it are there, and at last the whole."""
        languages = _languages(source, target)
        document = cut(text, self.glossary.between(languages.source, languages.target))
        index = PairIndex(await self.memory.pairs(), languages.source, languages.target)
        work = _Work(self, document, Prompting(self.prompt, languages), index)
        try:
            async for line in work.lines():
                yield line
            yield work.translation()
        finally:
            await work.stop()

    async def brain(
        self, text: str, *, target: str, source: str = "", on_failure: OnFailure | None = None
    ) -> AsyncGenerator[str | Reply, None]:
        """Answer an input of an App, line by line: `App.from_folder(__file__, brain=translator.brain)`."""
        how = self if on_failure is None else replace(self, on_failure=on_failure)
        async with aclosing(how.stream(text, target=target, source=source)) as pieces:
            async for piece in pieces:
                yield piece if isinstance(piece, str) else Reply(text=piece.text, notes=piece.notes)

    async def approve(self, source_text: str, target_text: str, *, target: str, source: str = "", by: str = "") -> Pair:
        """Keep a pair in the memory. Raises BadRequest if the translation lacks what the source has."""
        languages = _languages(source, target)
        if fault := self.fault(source_text, target_text, languages):
            raise BadRequest(f"The translation {fault}. Correct it, and approve it then.")
        pair = Pair(
            source=source_text.strip(),
            target=target_text.strip(),
            source_language=languages.source,
            target_language=languages.target,
            approved_by=by,
            approved_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        await self.memory.approve([pair])
        return pair

    def fault(self, source_text: str, target_text: str, languages: Languages) -> str:
        """Return what a translation of one sentence lacks, or nothing. Longer texts aren't compared."""
        terms = self.glossary.between(languages.source, languages.target)
        segments = [*cut(source_text.strip(), terms).segments()]
        if len(segments) != 1 or segments[0].text != source_text.strip():
            return "" if target_text.strip() else "is empty"
        return segments[0].fault(segments[0].with_marks(target_text.strip()))


def _languages(source: str, target: str) -> Languages:
    languages = Languages(
        source=language_code(source, "source") if source.strip() else "", target=language_code(target, "target")
    )
    if languages.source == languages.target:
        raise BadRequest(f"The text is to be translated from {source} to {target}. Choose another target.")
    return languages


class _Work:
    """The translation of one document."""

    def __init__(self, how: Translator, document: Document, prompting: Prompting, index: PairIndex) -> None:
        self._how, self._document, self._prompting, self._index = how, document, prompting, index
        self._segments = [*document.segments()]
        self._is_held = how.is_held
        self._answers: dict[str, str] = {}
        self._notes: list[str] = []
        self._num_from_memory = self._num_left = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def lines(self) -> AsyncIterator[str]:
        """Translate everything at once, and yield the text line by line."""
        for number, segment in enumerate(self._segments):
            if segment.text not in self._tasks:
                self._tasks[segment.text] = asyncio.create_task(self._translate(number, segment))
        line: list[str] = []
        for part in self._document.parts:
            if isinstance(part, Segment):
                for segment in Document([part]).segments():
                    await self._tasks[segment.text]
                line.append(part.render(self._answers))
                continue
            line.append(part)
            if "\n" in part:
                yield "".join(line)
                line = []
        if line:
            yield "".join(line)

    def translation(self) -> Translation:
        return Translation(
            text=self._document.render(self._answers),
            notes=tuple(self._notes),
            num_segments=len(self._segments),
            num_from_memory=self._num_from_memory,
            num_left=self._num_left,
        )

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _translate(self, number: int, segment: Segment) -> None:
        """Find the answer to a segment. Raises TranslationRefused."""
        if (known := self._remembered(segment)) is not None:
            self._answers[segment.text], self._num_from_memory = known, self._num_from_memory + 1
            return
        asked = Asked(
            text=segment.shown,
            before=self._neighbour(number - 1),
            behind=self._neighbour(number + 1),
            examples=self._index.similar(segment.text, self._how.num_examples, self._how.min_similarity),
        )
        for attempt in range(self._how.attempts):
            answer = await self._ask(segment, asked, attempt)
            if not (fault := segment.fault(answer)):
                self._answers[segment.text] = answer
                return
            asked = replace(asked, fault=fault)
        self._give_up(number, segment, asked.fault)

    def _give_up(self, number: int, segment: Segment, fault: str) -> None:
        name = f"Part {number + 1}, {segment.text[:60]!r},"
        if self._how.on_failure == "refuse":
            raise TranslationRefused(
                f"{name} has no translation that keeps everything in it: the last of {self._how.attempts} answers"
                f" {fault}. Try a larger model, or keep such parts as they are with on_failure='source'."
            )
        self._num_left += 1
        self._notes.append(f"{name} isn't translated: the last answer {fault}.")

    def _remembered(self, segment: Segment) -> str | None:
        """Return the approved answer to a segment, if it keeps everything."""
        pair = None if segment.contents else self._index.exact(segment.text)
        if pair is None:
            return None
        answer = segment.with_marks(pair.target)
        if fault := segment.fault(answer):
            self._notes.append(f"The approved translation of {segment.text[:60]!r} isn't used: it {fault}.")
            return None
        return answer

    def _neighbour(self, number: int) -> str:
        is_there = self._how.shows_neighbours and 0 <= number < len(self._segments)
        return self._segments[number].shown if is_there else ""

    async def _ask(self, segment: Segment, asked: Asked, attempt: int) -> str:
        """Return an answer. A model that can't be held to a pattern is asked without one, and only checked."""
        options: dict[str, Any] = {"max_tokens": _max_tokens(segment), **self._how.options}
        if attempt:
            options |= {"temperature": 0.7, "seed": attempt}
        held = {"regex": segment.pattern} if self._is_held else {}
        messages = self._prompting.messages(asked)
        try:
            answer = await self._how.ask(messages, system="", options=options | held)
        except BadRequest as error:
            if not held or error.param not in _PATTERN_PARAMS:
                raise
            self._is_held = False
            self._notes.append("The model can't be held to patterns; its answers are only checked.")
            answer = await self._how.ask(messages, system="", options=options)
        text: str = answer.text
        return text.strip()


def _max_tokens(segment: Segment) -> int:
    """Return what suffices for an answer of twice the length, in scripts with a token for each character."""
    return 64 + 2 * width(segment.shown)
