"""What a caller wants, freed of the wire format that it came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.deployments.providers.remote_model import Answering
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import Grammar, SamplingParams, Tools
from llmos.gateway.calls.caller import Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One of messages, user_text, text and tokens, as in engine.messages.Generate."""

    messages: list[dict[str, Any]] | None = None
    continues: bool = False
    """The last message is the beginning of the answer."""
    user_text: str | None = None
    text: str | None = None
    tokens: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen, and which of it the caller said."""

    params: SamplingParams
    given: frozenset[str] = frozenset(RECOMMENDABLE)

    def on(self, version: Answering) -> SamplingParams:
        """Fill in what the version's makers recommend."""
        recommended = {name: value for name, value in version.sampling.items() if name not in self.given}
        return msgspec.structs.replace(self.params, **recommended) if recommended else self.params


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What a caller wants, freed of the wire format that it came in."""

    model: str
    """The name that was asked for: a Route, or a reference of a model."""
    prompts: Sequence[Prompt]
    sampling: Sampling
    grammar: Grammar | None = None
    tools: Tools | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    echo: bool = False
    origin: Origin = field(default_factory=Origin)
    id_prefix: str = "answer"

    @property
    def num_choices(self) -> int:
        """Of all prompts together."""
        return len(self.prompts) * self.sampling.params.n
