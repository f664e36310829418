"""Output: what a caller gets of an answer, collected on its way, for the receipt."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from llmos.engine.messages import Delta, FinishReason
from llmos.security.receipts.hashes import Choice


@dataclass(slots=True)
class _Growing:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, list[str]] = field(default_factory=dict)
    """By index: the name of each call, and the pieces of its arguments."""
    finish_reason: FinishReason | None = None


class Output:
    """The choices of one answer, as far as the caller has got them."""

    def __init__(self, num_choices: int) -> None:
        self._choices = [_Growing() for _ in range(num_choices)]

    async def observe(self, deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
        async for delta in deltas:
            choice = self._choices[delta.index]
            if delta.text:
                choice.text.append(delta.text)
            if delta.reasoning:
                choice.reasoning.append(delta.reasoning)
            for call in delta.tool_calls:
                if (pieces := choice.calls.get(call.index)) is None:
                    choice.calls[call.index] = [call.name, call.arguments]
                else:
                    pieces.append(call.arguments)
            if delta.finish_reason is not None:
                choice.finish_reason = delta.finish_reason
            yield delta

    def choices(self) -> list[Choice]:
        return [
            Choice(
                text="".join(choice.text),
                reasoning="".join(choice.reasoning),
                tool_calls=[(name, "".join(pieces)) for name, *pieces in choice.calls.values()],
            )
            for choice in self._choices
        ]

    def finish_reasons(self) -> list[FinishReason | None]:
        """Return why each choice ended; None for one that didn't."""
        return [choice.finish_reason for choice in self._choices]
