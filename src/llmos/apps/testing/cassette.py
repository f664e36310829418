"""Cassette: the answers of a real model, recorded once and replayed exactly.

    with Cassette("tests/cassettes/order.json").plays(app):
        assert app.run("Where is AB123456?").text.startswith("It is")

A cassette that isn't there is recorded. One that is there is replayed without a server, and a prompt that isn't the
recorded one fails with the difference: record the cassette anew when it was meant.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.apps.memory import MemoryServer
from llmos.apps.server import Model
from llmos.client.recordings import PromptChanged, RecordedModel, RecordedPlayer, Tape
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.knowledge import SearchDescription

if TYPE_CHECKING:
    from llmos.apps.app import App


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
            player = RecordedPlayer(tape, self._path)
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
        return RecordedModel(model, self.tape)

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        self.tape.searched.append(found := await self._app.real_server().search(name, question, **settings))
        return found

    async def prompt(self, reference: str) -> PromptText:
        self.tape.prompts.append(found := await self._app.real_server().prompt(reference))
        return found


class _PlayingServer(MemoryServer):
    """Sessions and runs in memory, and what was recorded."""

    def __init__(self, player: "RecordedPlayer", tape: Tape) -> None:
        super().__init__(player)
        self._searched, self._prompts = [*tape.searched], [*tape.prompts]

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        if not self._searched:
            raise PromptChanged(f"No search for {question!r} was recorded.")
        return self._searched.pop(0)

    async def prompt(self, reference: str) -> PromptText:
        if not self._prompts:
            raise PromptChanged(f"No prompt {reference!r} was recorded.")
        return self._prompts.pop(0)
