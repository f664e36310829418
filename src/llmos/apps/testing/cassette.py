"""Cassette: the answers of a real model, recorded once and replayed exactly.

    with Cassette("tests/cassettes/order.json").plays(app):
        assert app.run("Where is AB123456?").text.startswith("It is")

A cassette that isn't there is recorded. One that is there is replayed without a server, and a prompt that isn't the
recorded one fails with the difference: record the cassette anew when it was meant.
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmos.apps.memory import MemoryServer
from llmos.apps.server import Model, OnText, Prompt, Scores
from llmos.client.answers import Answer, TokenCount
from llmos.core.schemas.knowledge import SearchDescription

if TYPE_CHECKING:
    from llmos.apps.app import App


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


class PromptChanged(AssertionError):
    """The app asks something else than what was recorded."""


class Cassette:
    """Records the answers of an app's model, or replays them."""

    def __init__(self, path: str | Path, *, record: bool | None = None) -> None:
        """`record`: whether to record; None: if the file isn't there."""
        self._path = Path(path)
        self._records = not self._path.exists() if record is None else record

    @contextmanager
    def plays(self, app: "App") -> Iterator[None]:
        """Record or replay the app's model within the block. Sessions and runs are in memory, so both are alike."""
        if self._records:
            recorder = _Recorder(app)
            with app.replaced(recorder):
                yield
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(msgspec.json.format(msgspec.json.encode(recorder.tape), indent=1) + b"\n")
        else:
            tape = msgspec.json.decode(self._path.read_bytes(), type=Tape)
            player = _Player(tape, self._path)
            with app.replaced(_PlayingServer(player, tape)):
                yield
            player.check_is_over()


class _Recorder(MemoryServer):
    """Sessions and runs in memory, and the app's real model."""

    def __init__(self, app: "App") -> None:
        super().__init__()
        self._app, self.tape = app, Tape()

    async def model(self, name: str) -> Model:
        model = await self._app.real_server().model(name)
        self.tape.context_length = model.context_length
        return _RecordedModel(model, self.tape)

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        self.tape.searched.append(found := await self._app.real_server().search(name, question, **settings))
        return found


class _PlayingServer(MemoryServer):
    """Sessions and runs in memory, and what was recorded."""

    def __init__(self, player: "_Player", tape: Tape) -> None:
        super().__init__(player)
        self._searched = [*tape.searched]

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        if not self._searched:
            raise PromptChanged(f"No search for {question!r} was recorded.")
        return self._searched.pop(0)


class _RecordedModel:
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


class _Player:
    """A model that answers what was recorded."""

    def __init__(self, tape: Tape, path: Path) -> None:
        self.context_length = tape.context_length
        self._recorded, self._counted, self._scored = [*tape.recorded], [*tape.counted], [*tape.scored]
        self._path = path

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        recorded = self._next(self._recorded, "answer", prompt.messages[-1])
        if (difference := _difference(recorded.prompt, _plain(prompt))) is not None:
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
