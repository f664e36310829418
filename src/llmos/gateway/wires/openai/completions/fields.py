"""The request of POST /v1/completions."""

from dataclasses import replace
from typing import Annotated, ClassVar

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.http.fields import MAX_CHOICES
from llmos.gateway.http.requests import Int64
from llmos.gateway.wires.openai.fields import HINTS, NO_LIMIT, OLLAMA_OPTIONS, VLLM_OPTIONS, StreamOptions, TokenId
from llmos.gateway.wires.openai.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.security.callers import Caller


class CompletionRequest(FormatFields, kw_only=True):
    model: str
    """A route or a model. GET /v1/models lists them."""
    prompt: str | list[str | TokenId | list[TokenId]]
    """A text, a list of texts, a list of token ids, or a list of such lists. Each prompt gets n choices."""
    max_tokens: Annotated[int, Int64] = 16
    """-1: the model's own limit, or the context window. 0: only with `echo` and `logprobs`, or `prompt_logprobs`."""
    suffix: str = ""
    """The text after the answer: for models that were trained to fill in the middle, with one text as the prompt."""
    parse_special: bool = True
    """Control strings in a text, such as <|im_end|>, are control tokens. Otherwise they are text like any other."""
    echo: bool = False
    """Return the prompt before the answer, with `logprobs` those of its tokens, too."""
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    """Return the log probabilities of the sampled token and of this many most likely tokens."""
    best_of: int | None = None
    """Must equal n: choices are not ranked."""

    objects: ClassVar = {"stream_options": StreamOptions, **FORMAT_OBJECTS}
    unsupported: ClassVar = {**HINTS, **OLLAMA_OPTIONS, **VLLM_OPTIONS, **OLDER_NAMES}

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        self.check_stream()
        prompts = [self._finished(prompt) for prompt in _prompts(self.prompt)]
        if len(prompts) * self.n > MAX_CHOICES:
            raise BadRequest(
                f"{len(prompts):,} prompts with {self.n} choices each are more than {MAX_CHOICES:,}. Split them.",
                param="prompt",
            )
        if self.best_of not in (None, self.n):
            raise BadRequest("`best_of` must equal `n`: choices are not ranked. Leave it out.", param="best_of")
        num_top = self._num_prompt_top()
        if num_top is not None and self.suffix:
            raise BadRequest("`suffix` has no log probabilities of its prompt. Leave one of them out.", param="suffix")
        if self.max_tokens == 0 and num_top is None:
            raise BadRequest(
                "`max_tokens` is 0, which generates nothing. Send `echo` with `logprobs` to score the prompt, or let it"
                " be 1 or more.",
                param="max_tokens",
            )
        sampling = self.sampling(
            max_tokens=None if self.max_tokens == NO_LIMIT else self.max_tokens, n=self.n, logprobs=self.logprobs
        )
        return Call(
            model=self.model,
            prompts=prompts,
            sampling=sampling,
            grammar=self.grammar(),
            echo=self.echo,
            prompt_logprobs=num_top,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="cmpl",
        )

    @property
    def echoes_logprobs(self) -> bool:
        return self.echo and self.logprobs is not None

    def _num_prompt_top(self) -> int | None:
        """Return how many of the most likely tokens are asked for at each position of the prompt. None: no scores."""
        asked = (self.prompt_logprobs, self.logprobs if self.echo else None)
        return max((each for each in asked if each is not None), default=None)

    def _finished(self, prompt: Prompt) -> Prompt:
        """Return the prompt with what this request says about all of them."""
        return replace(prompt, parse_special=self.parse_special, suffix=self.suffix or None)


def _prompts(prompt: str | list[str | TokenId | list[TokenId]]) -> list[Prompt]:
    """Return the prompts of one of the four forms. Raises BadRequest for any other."""
    if isinstance(prompt, str):
        return [Prompt(text=prompt)]
    if not prompt:
        raise BadRequest("`prompt` is empty: send a text or token ids.", param="prompt")
    tokens = [each for each in prompt if isinstance(each, int)]
    if len(tokens) == len(prompt):
        return [Prompt(tokens=tokens)]
    if tokens:
        raise BadRequest(
            "`prompt` mixes token ids and prompts: send a list of token ids or a list of prompts.", param="prompt"
        )
    for i, each in enumerate(prompt):
        if each == []:
            raise BadRequest(f"`prompt[{i}]` is empty: send at least one token.", param=f"prompt[{i}]")
    return [
        Prompt(text=each) if isinstance(each, str) else Prompt(tokens=list(each))
        for each in prompt
        if not isinstance(each, int)
    ]
