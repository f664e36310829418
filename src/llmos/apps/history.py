"""History: the turns of a session that a prompt has. What doesn't fit is an error, or is left out and said."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmos.apps.server import Model, Prompt, Server
from llmos.client.answers import TokenCount
from llmos.core.errors import PromptTooLong
from llmos.core.schemas.hosted_apps import LeftOut
from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription

Message = Mapping[str, Any]

_PAGE = 200
_BYTES_PER_TOKEN = 2
"""A careful guess at what a new message adds; near the limit, the server counts."""

_SUMMARIZE = (
    "Summarize the conversation below for somebody who continues it: names, numbers, what was asked, done and promised."
    " Write a few plain sentences, and nothing else."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The treatment of a session that doesn't fit into the model's context any more."""

    overflow: Literal["error", "oldest", "summary"] = "error"
    """oldest: prompts begin with a later turn. summary: the same, behind a summary of the turns before it."""
    answer_tokens: int = 512
    """The room that is kept for the answer."""
    kept: float = 0.5
    """The share of the room that the turns fill afterwards. A prompt that begins alike is computed once, so turns are
    left out rarely and many at a time."""


@dataclass(slots=True)
class Fitted:
    """The turns of a session, as far as prompts have them."""

    turns: list[TurnDescription] = field(default_factory=list)
    summary: str | None = None
    num_left_out: int = 0

    @property
    def messages(self) -> list[Message]:
        return [message for turn in self.turns for message in turn.messages]

    @property
    def left_out(self) -> LeftOut | None:
        if not self.num_left_out:
            return None
        return LeftOut(num_turns=self.num_left_out, is_summarized=self.summary is not None)


@dataclass(frozen=True, slots=True)
class Fitting:
    """Fits one session into the prompts of one run."""

    server: Server
    model: Model
    session: AppSessionDescription
    history: History
    build: Callable[[Fitted], Prompt]
    """Makes the first prompt of the run with these turns."""
    summarize: Callable[[Prompt], Awaitable[str]]

    async def fit(self, added: Sequence[Message]) -> Fitted:
        """Return the turns that fit, with these messages behind them. Raises PromptTooLong."""
        fitted = await self._read()
        size = self.session.num_tokens + sum(len(str(message)) for message in added) // _BYTES_PER_TOKEN
        limit = self.model.context_length
        if limit is None or size + self.history.answer_tokens <= limit:
            return fitted
        return await self.shrink(fitted)

    async def shrink(self, fitted: Fitted) -> Fitted:
        """Leave turns out if the prompt doesn't fit, by the server's count. Raises PromptTooLong."""
        counted = await self.model.count(self.build(fitted))
        room = counted.context_length - self.history.answer_tokens
        if counted.num_tokens <= room:
            return fitted
        if self.history.overflow == "error" or not fitted.turns:
            raise _too_long(counted, room, has_turns=bool(fitted.turns))
        return await self._leave_out(fitted, round(room * self.history.kept))

    async def _leave_out(self, fitted: Fitted, room: int) -> Fitted:
        """Leave out as few of the oldest turns as the room allows, but at least one."""
        low, high = 1, len(fitted.turns)
        while low < high:
            middle = (low + high) // 2
            rest = Fitted(fitted.turns[middle:], fitted.summary)
            if (await self.model.count(self.build(rest))).num_tokens <= room:
                high = middle
            else:
                low = middle + 1
        dropped, kept = fitted.turns[:low], fitted.turns[low:]
        summary = None
        if self.history.overflow == "summary":
            summary = await self.summarize(_summary_prompt(fitted.summary, dropped))
        first = dropped[-1].index + 1
        await self.server.sessions.set_window(self.session.id, first, summary)
        return Fitted(kept, summary, first)

    async def _read(self) -> Fitted:
        """Return the turns of the session's window."""
        first, before = self.session.first_turn, self.session.num_turns
        turns: list[TurnDescription] = []
        while before > first:
            page = await self.server.sessions.turns(self.session.id, first=first, before=before, limit=_PAGE)
            if not page:
                break
            turns, before = [*page, *turns], page[0].index
        return Fitted(turns, self.session.summary, first)


def _too_long(counted: TokenCount, room: int, *, has_turns: bool) -> PromptTooLong:
    advice = "Shorten the message or the app's prompt."
    if has_turns:
        advice = "Begin a new session, or choose History(overflow='oldest') or 'summary'."
    return PromptTooLong(
        f"The prompt has {counted.num_tokens:,} tokens; the model accepts {room:,} beside the answer. {advice}"
    )


def _summary_prompt(summary: str | None, turns: Sequence[TurnDescription]) -> Prompt:
    lines = [f"Before: {summary}"] if summary else []
    for turn in turns:
        lines += [f"{message['role']}: {message.get('content') or ''}" for message in turn.messages]
    messages = [{"role": "system", "content": _SUMMARIZE}, {"role": "user", "content": "\n".join(lines)}]
    return Prompt(messages=messages, options={"max_tokens": 200, "temperature": 0})
