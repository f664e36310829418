"""MemoryServer: what an application needs of a server, in this process: for tests, and for runs that nobody keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmos.apps.server import Model
from llmos.client.in_memory import MemoryHandoffs, MemoryRuns, MemorySessions
from llmos.core.errors import ModelNotFound, NotFound
from llmos.core.prompt_text import PromptText
from llmos.core.schemas.knowledge import SearchDescription


@dataclass(slots=True)
class MemoryServer:
    """Sessions and runs in memory, and a model."""

    played: Model | None = None
    """Answers under every name."""
    found: SearchDescription | None = None
    """The answer to every search."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The texts of prompts that a server would keep, by what an app calls them."""
    sessions: MemorySessions = field(default_factory=MemorySessions)
    handoffs: MemoryHandoffs = field(default_factory=MemoryHandoffs)
    runs: MemoryRuns = field(init=False)

    def __post_init__(self) -> None:
        self.runs = MemoryRuns(self.sessions)

    async def model(self, name: str) -> Model:
        if self.played is None:
            raise ModelNotFound(f"There is no model {name!r} without a server.", param="model")
        return self.played

    async def search(self, name: str, question: str, **settings: Any) -> SearchDescription:
        if self.found is None:
            raise NotFound(f"There is no knowledge {name!r} without a server.")
        return self.found

    async def prompt(self, reference: str) -> PromptText:
        if reference not in self.prompts:
            raise NotFound(f"There is no prompt {reference!r} without a server.", param="prompt")
        return PromptText.parse(self.prompts[reference], reference)
