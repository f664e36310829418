"""Call: a request to a model, independent of its wire format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import Grammar, SamplingParams, Tools
from llmos.security.callers import Caller


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
    """The sampling parameters, and which of them the caller gave."""

    params: SamplingParams
    given: frozenset[str] = frozenset(RECOMMENDABLE)

    def with_defaults(self, recommended: Mapping[str, float]) -> SamplingParams:
        """Return the parameters, with the model's recommendation for those that the caller left out."""
        defaults = {name: value for name, value in recommended.items() if name not in self.given}
        return msgspec.structs.replace(self.params, **defaults) if defaults else self.params


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCall:
    """The fields that every call to a model has."""

    model: str
    """The name that is asked for: a route, or a reference of a model."""
    caller: Caller
    id_prefix: str = "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(ModelCall):
    """A call that generates text, or counts the tokens of prompts."""

    prompts: Sequence[Prompt]
    sampling: Sampling
    grammar: Grammar | None = None
    tools: Tools | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    echo: bool = False
    cache_salt: str = ""
    """Calls of one project share cached prompt prefixes only where their salts are equal."""
    id_prefix: str = "answer"

    @property
    def num_choices(self) -> int:
        """The choices of all prompts together."""
        return len(self.prompts) * self.sampling.params.n
