"""Script: what a model answers in a test, one entry for each time that it is asked.

with Script(Call("order_status", order_id="AB123456"), "It is on its way.").plays(app) as script:
    assert app.run("Where is AB123456?").text == "It is on its way."
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llmos.apps.memory import MemoryServer
from llmos.apps.server import OnText, Prompt, Scores
from llmos.client.answers import Answer, TokenCount, ToolCall, Usage
from llmos.core.schemas.knowledge import SearchDescription

if TYPE_CHECKING:
    from llmos.apps.app import App


class Call:
    """A call of a tool, with its arguments."""

    def __init__(self, name: str, /, **arguments: Any) -> None:
        self.name, self.arguments = name, arguments


Entry = str | Call | Exception | Sequence[Call]
"""A text, one call or several at once, or an error."""
Answering = Callable[[Prompt], Entry]
"""A function that answers this prompt and all further ones."""


class Script:
    """A model that answers what a test says. It fails when it is asked more often."""

    def __init__(self, *entries: Entry | Answering, context_length: int | None = None, can_score: bool = True) -> None:
        self.context_length, self.can_score = context_length, can_score
        self.prompts: list[Prompt] = []
        """The prompts that it has received."""
        self._entries = [*entries]
        self._num_calls = 0

    @contextmanager
    def plays(
        self, app: "App", found: SearchDescription | None = None, prompts: Mapping[str, str] | None = None
    ) -> Iterator["Script"]:
        """Stand in for the model of an app, and memory for its server, within the block.

        `found`: what every search of its knowledge finds. `prompts`: the texts of a server's prompts, by reference.
        """
        with app.replaced(MemoryServer(self, found, prompts or {})):
            yield self

    @property
    def num_left(self) -> int:
        """The entries that weren't asked for."""
        return len(self._entries)

    async def answer(self, prompt: Prompt, on_text: OnText) -> Answer:
        self.prompts.append(prompt)
        if not self._entries:
            raise AssertionError(f"The script has no answer left. It was asked: {prompt.messages[-1]}")
        first = self._entries[0]
        if not callable(first):
            self._entries.pop(0)
        entry: Any = first(prompt) if callable(first) else first
        if isinstance(entry, Exception):
            raise entry
        calls = (
            ()
            if isinstance(entry, str)
            else tuple(self._call(each) for each in ([entry] if isinstance(entry, Call) else entry))
        )
        text = entry if isinstance(entry, str) else ""
        for start in range(0, len(text), 8):
            on_text(text[start : start + 8])
        size = (await self.count(prompt)).num_tokens
        return Answer(
            id=f"answer-{len(self.prompts)}",
            text=text,
            model="script",
            version="script@1",
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(size, len(text.split()), size + len(text.split())),
            tool_calls=calls,
        )

    async def count(self, prompt: Prompt) -> TokenCount:
        """Count words as tokens."""
        words = sum(len(str(message.get("content") or "").split()) for message in prompt.messages)
        return TokenCount(num_tokens=words, context_length=self.context_length or 8192)

    async def score(self, prompts: Sequence[Prompt], text: str) -> Scores:
        """Score words: those that a prompt has are likely. Without `can_score`, there are no scores."""
        if not self.can_score:
            return Scores(problem="The script gives no scores.")
        words = re.findall(r"\s*(?:[^\W_]+|.)", text)
        asked = [" ".join(str(message.get("content")) for message in each.messages).casefold() for each in prompts]
        return Scores(
            tokens=[[(len(w.encode()), 0.0 if w.strip().casefold() in has else -9.0) for w in words] for has in asked]
        )

    def _call(self, call: Call) -> ToolCall:
        self._num_calls += 1
        return ToolCall(id=f"call_{self._num_calls}", name=call.name, arguments=json.dumps(call.arguments))
