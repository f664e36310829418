"""Call: a request to a model, independent of its wire format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.core.errors import PromptTooLong
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import Grammar, SamplingParams, Tools
from llmos.gateway.calls.applications import AppOptions
from llmos.gateway.calls.cache_control import DEFAULT_CONTROL, CacheControl
from llmos.gateway.calls.field_names import OPENAI, FieldNames
from llmos.security.callers import Caller


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One of messages, user_text, text and tokens, as in engine.messages.Generate; the other fields go with them."""

    messages: list[dict[str, Any]] | None = None
    continues: bool = False
    """The last message is the beginning of the answer."""
    user_text: str | None = None
    text: str | None = None
    parse_special: bool = False
    suffix: str | None = None
    tokens: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling parameters, and which of them the caller gave."""

    params: SamplingParams
    given: frozenset[str] = frozenset(RECOMMENDABLE)

    def with_defaults(self, recommended: Mapping[str, float]) -> SamplingParams:
        """Return the parameters, with the model's recommendation for those that the caller left out."""
        has_limit = self.params.max_tokens is not None
        given = {*self.given, "max_tokens"} if has_limit else self.given
        defaults = {name: value for name, value in recommended.items() if name not in given}
        return msgspec.structs.replace(self.params, **defaults) if defaults else self.params


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCall:
    """The fields that every call to a model has."""

    model: str
    """The name that is asked for: a route, or a reference of a model."""
    caller: Caller
    field_names: FieldNames = OPENAI
    """The names of the fields in the caller's wire format."""
    id_prefix: str = "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptedCall(ModelCall):
    """The fields that every call with a prompt has."""

    tools: Tools | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    max_prompt_tokens: int | None = None
    """The limit of the caller's key or project for each prompt."""
    app: AppOptions | None = None
    """The options for an application that answers the call; None without any. Models ignore them."""
    cache_salt: str = ""
    """Calls of one project share cached prompt prefixes and answers only where their salts are equal."""

    def check_length(self, num_prompt_tokens: int) -> None:
        """Raise PromptTooLong for a prompt that the caller may not send."""
        limit = self.max_prompt_tokens
        if limit is not None and num_prompt_tokens > limit:
            raise PromptTooLong(
                f"The prompt has {num_prompt_tokens:,} tokens; {self.caller.key_id} may send {limit:,}. Shorten it by"
                f" {num_prompt_tokens - limit:,} tokens."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(PromptedCall):
    """A call that generates text, or counts the tokens of prompts."""

    prompts: Sequence[Prompt]
    sampling: Sampling
    grammar: Grammar | None = None
    echo: bool = False
    prompt_logprobs: int | None = None
    """Score the prompts' own tokens, with this many of the most likely ones at each position. None: don't."""
    cache_control: CacheControl = DEFAULT_CONTROL
    """The request's settings for the response cache."""
    id_prefix: str = "answer"

    @property
    def num_choices(self) -> int:
        """The choices of all prompts together."""
        return len(self.prompts) * self.sampling.params.n
