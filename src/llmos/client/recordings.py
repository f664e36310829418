"""Recordings of the answers of models, and their replay, for tests. A prompt that isn't the recorded one fails."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llmos.client.answers import Answer, TokenCount
from llmos.client.prompted_models import Model, OnText, Prompt, Scores
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.knowledge import SearchDescription

T = TypeVar("T")


class Recorded(msgspec.Struct, kw_only=True):
    """One answer, and what was asked."""

    prompt: Any
    pieces: list[str]
    answer: Answer


class Tape(msgspec.Struct, kw_only=True):
    """The content of a cassette."""

    format: str = "llmos-cassette/1"
    context_length: int | None = None
    recorded: list[Recorded] = msgspec.field(default_factory=list)
    counted: list[TokenCount] = msgspec.field(default_factory=list)
    scored: list[Scores] = msgspec.field(default_factory=list)
    searched: list[SearchDescription] = msgspec.field(default_factory=list)
    prompts: list[PromptText] = msgspec.field(default_factory=list)


class PromptChanged(AssertionError):
    """The app asks something else than what was recorded."""


class RecordedModel:
    """A model whose answers are recorded."""

    def __init__(self, model: Model, tape: Tape) -> None:
        self._model, self._tape = model, tape
        self.context_length = model.context_length

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        pieces: list[str] = []

        def keep(piece: str) -> None:
            pieces.append(piece)
            on_text(piece)

        answer = await self._model.answer(prompt, keep)
        self._tape.recorded.append(Recorded(prompt=_plain(prompt), pieces=pieces, answer=answer))
        return answer

    async def count(self, prompt: Prompt) -> TokenCount:
        self._tape.counted.append(counted := await self._model.count(prompt))
        return counted

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        self._tape.scored.append(scored := await self._model.score(prompts, text))
        return scored


class RecordedPlayer:
    """A model that answers what was recorded."""

    def __init__(self, tape: Tape, path: Path) -> None:
        self.context_length = tape.context_length
        self._recorded, self._counted, self._scored = [*tape.recorded], [*tape.counted], [*tape.scored]
        self._path = path

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        asked = _plain(prompt)
        # Calls that run at once are asked for in another order than that in which they were answered.
        same = next((each for each in self._recorded if each.prompt == asked), None)
        if same is not None:
            self._recorded.remove(same)
        recorded = same or self._next(self._recorded, "answer", prompt.messages[-1])
        if (difference := _difference(recorded.prompt, asked)) is not None:
            raise PromptChanged(
                f"The prompt isn't that of {self._path}:\n{difference}\nRecord it anew if this was meant."
            )
        for piece in recorded.pieces:
            on_text(piece)
        return recorded.answer

    async def count(self, prompt: Prompt) -> TokenCount:
        return self._next(self._counted, "count of tokens", prompt.messages[-1])

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        return self._next(self._scored, "scores", text)

    def _next(self, recorded: list[T], what: str, asked: Any) -> T:
        if not recorded:
            raise PromptChanged(f"{self._path} has no {what} left. It was asked: {asked}")
        return recorded.pop(0)

    def check_is_over(self) -> None:
        if self._recorded:
            raise PromptChanged(f"{len(self._recorded)} of the answers in {self._path} weren't asked for.")


def _plain(prompt: Prompt) -> Any:
    """Return a prompt as its JSON is read."""
    return msgspec.json.decode(msgspec.json.encode(prompt))


def _difference(before: Any, after: Any) -> str | None:
    """Return the lines that differ, or None."""
    if before == after:
        return None
    recorded, asked = (json.dumps(each, indent=1, ensure_ascii=False, sort_keys=True) for each in (before, after))
    lines = difflib.unified_diff(recorded.splitlines(), asked.splitlines(), "recorded", "asked", lineterm="", n=1)
    return "\n".join(lines)
