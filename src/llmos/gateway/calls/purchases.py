"""The usage of an attempt at a provider, and the check whether the provider's report is plausible.

A provider's tokens can't be counted here, so what it reports is compared with what is certain: a token has a byte at
least and not more than a few, an answer isn't longer than it may be, and a text that arrived has tokens.
"""

from dataclasses import dataclass, field

from llmos.billing.entries import Difference, Purchase
from llmos.engine.messages import Delta, ReportedUsage
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.limits_hold import estimated_prompt_tokens
from llmos.gateway.calls.record import Attempt
from llmos.gateway.calls.worst_cases import prompt_bound

ADDED_TOKENS = 1024
"""The most tokens that a provider may add to a prompt: its own instructions, and those for tools and schemas."""

HIDDEN_TOKENS = 64
"""Tokens of a choice that no text arrives for, such as those that begin and end a tool call."""

MAX_TOKEN_BYTES = 128
"""No vocabulary has longer tokens; a text with more bytes for each one has more tokens."""


@dataclass(slots=True)
class RemoteUse:
    """The use of a provider's model by one attempt, as it goes on."""

    num_requests: int
    """The prompts of a call are requests of their own."""
    num_choices: int
    estimated_input_tokens: int
    max_input_tokens: int
    max_output_tokens: int | None = None
    """The most output tokens of all choices; None if neither the call nor the model's settings limit them."""
    num_output_bytes: int = 0
    """The bytes of the texts and tool calls that arrived."""
    reported: list[ReportedUsage] = field(default_factory=list)
    """For each request that has ended, if the provider says so."""
    is_complete: bool = False
    """Every choice has come to its end."""

    @classmethod
    def of(cls, call: Call, max_tokens: int | None) -> "RemoteUse":
        """`max_tokens`: of each choice."""
        definitions = 0 if call.grammar is None else len(call.grammar.text.encode(errors="replace"))
        return cls(
            num_requests=len(call.prompts),
            num_choices=call.num_choices,
            estimated_input_tokens=estimated_prompt_tokens(call.prompts),
            max_input_tokens=prompt_bound(call, call.prompts) + len(call.prompts) * (definitions + ADDED_TOKENS),
            max_output_tokens=None if max_tokens is None else max_tokens * call.num_choices,
        )

    def count(self, delta: Delta) -> None:
        texts = [delta.text, delta.reasoning, *(call.name + call.arguments for call in delta.tool_calls)]
        self.num_output_bytes += sum(len(text.encode(errors="replace")) for text in texts)

    @property
    def has_reported(self) -> bool:
        return len(self.reported) == self.num_requests

    def differences(self) -> tuple[Difference, ...]:
        """Return what can't be right. Nothing is known of an answer that was cut off."""
        if not self.is_complete:
            return ()
        if not self.has_reported:
            return ("unreported",)
        found: list[Difference] = []
        if not 0 < sum(each.num_prompt_tokens for each in self.reported) <= self.max_input_tokens:
            found.append("input")
        if not self._is_output_possible():
            found.append("output")
        return tuple(found)

    def _is_output_possible(self) -> bool:
        num_tokens = sum(each.num_completion_tokens for each in self.reported)
        if self.max_output_tokens is not None and num_tokens > self.max_output_tokens:
            return False
        if num_tokens * MAX_TOKEN_BYTES < self.num_output_bytes:
            return False
        visible = [each.num_visible_tokens for each in self.reported]
        num_visible = sum(each for each in visible if each is not None)
        return None in visible or num_visible <= self.num_output_bytes + HIDDEN_TOKENS * self.num_choices


def purchase_of(attempt: Attempt) -> Purchase | None:
    """Return what an attempt used at a provider; None for one that no provider has accepted."""
    use = attempt.remote
    if use is None or not attempt.is_accepted or attempt.is_from_cache:
        return None
    num_input, num_cached = attempt.num_prompt_tokens, attempt.num_cached_tokens
    if not use.has_reported:
        num_input = num_input or use.estimated_input_tokens
    costs = [each.cost_nanos for each in use.reported if each.cost_nanos is not None]
    return Purchase(
        input_tokens=max(0, num_input - num_cached),
        cached_input_tokens=num_cached,
        output_tokens=attempt.num_completion_tokens,
        is_estimated=not use.has_reported,
        reported_cost_nanos=sum(costs) if len(costs) == use.num_requests else None,
        differences=use.differences(),
    )
