"""What crosses the socket between the gateway's process and a replica's: msgpack frames of these structs."""

from typing import Any, Literal

import msgspec

from llmos.core.errors import LLMOSError, error_of_code

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""content_filter: a provider of remote models held the rest back."""


class Grammar(msgspec.Struct, frozen=True):
    """What the answer's text must be."""

    kind: Literal["json_object", "json_schema", "regex", "choice", "lark", "tools"]
    """tools: the engine's own, of lark that may name control tokens."""
    text: str = ""
    """The schema as JSON, the regular expression, the choices as a JSON array of strings, the lark grammar."""
    field: str = "response_format"
    """What callers call the field that it came in: errors name it."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What the model may call, and whether it must."""

    functions: list[dict[str, Any]]
    """As OpenAI spells them: {"name", "description", "parameters": JSON schema, "strict"}."""
    choice: Literal["auto", "required", "none", "named"] = "auto"
    name: str | None = None
    """The one function that must be called, where choice is "named"."""
    is_parallel: bool = True
    """Several calls may come in one answer."""


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the next token is chosen and when to stop. Validated by engine.sampling.check_sampling."""

    max_tokens: int | None = None
    """None: as many as the context window has room for."""
    may_exceed_context: bool = False
    """A max_tokens that the context window has no room for is then no error: the answer ends where the room does."""
    min_tokens: int = 0
    temperature: float = 1.0
    top_k: int = 0
    """0: all."""
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    seed: int | None = None
    n: int = 1
    stop: list[str] = []
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    logprobs: int | None = None
    """None: none. 0: of the chosen token. k: of the chosen and the k likeliest."""
    include_stop: bool = False


MAX_PRIORITY = 100
"""Bounded, so that whoever waits rises above any in bounded time."""

BACKGROUND_PRIORITY = -MAX_PRIORITY
"""Whoever has it has it beside nobody: its place is only lent, and it rests in most of the steps that others need."""


class AdapterFiles(msgspec.Struct, frozen=True):
    """A LoRA adapter of the model that the replica serves."""

    digest: str
    files: dict[str, str]
    """Name -> path, as for engine.adapters.open_adapter."""


class Generate(msgspec.Struct, frozen=True, kw_only=True, tag="generate", omit_defaults=True):
    """Run one prompt. Exactly one of messages, user_text, text and tokens is given."""

    id: str
    messages: list[dict[str, Any]] | None = None
    """Through the model's chat template."""
    continue_final_message: bool = False
    """The last message is the beginning of the answer, which goes on in it."""
    user_text: str | None = None
    """What a user says, through the chat template; as it stands where the model has none."""
    text: str | None = None
    """As it stands."""
    tokens: list[int] | None = None
    echo: bool = False
    """Put the prompt's own text in front of the answer."""
    caller: str = ""
    """Who asks: callers take turns under load."""
    cache_salt: str = ""
    """Whose prefixes may be shared with whom: a cached prefix serves requests of the same salt only."""
    priority: int = 0
    """The higher goes first; whoever waits long rises."""
    grammar: Grammar | None = None
    """What the answer must be: every other token is out of the question."""
    tools: Tools | None = None
    """With messages only."""
    adapter: AdapterFiles | None = None
    """Answer with this adapter's changes to the model."""
    template_options: dict[str, Any] = {}
    """Further variables of the chat template, such as enable_thinking."""
    sampling: SamplingParams = SamplingParams()


class Count(msgspec.Struct, frozen=True, tag="count"):
    """How many tokens does this request's prompt have? Nothing is computed. Answered by Counted or Failed."""

    request: Generate

    @property
    def id(self) -> str:
        return self.request.id


class Embed(msgspec.Struct, frozen=True, kw_only=True, tag="embed", omit_defaults=True):
    """Turn each of these texts into a vector. Answered by Started and Embedded, or Failed."""

    id: str
    inputs: list[str | list[int]]
    """Texts, or tokens as they stand."""
    dimensions: int | None = None
    """So many of each vector's numbers, the first ones. None: all."""
    truncate_to: int | None = None
    """A text that has more tokens loses the rest. 0: more than the model takes. None: that is an error."""
    prompt: str | None = None
    """The name of what goes before each text. None: what the model's makers have made the default, if they have."""
    role: Literal["query", "document"] | None = None
    """Without a prompt's name: what these texts are, for a model that has a prompt for it."""
    caller: str = ""
    priority: int = 0
    names: list[str] = []
    """What the caller calls each input, for errors."""


class LoadModel(msgspec.Struct, frozen=True, kw_only=True, tag="load_model"):
    """The first frame to a replica: what it serves. Answered by Ready or LoadFailed."""

    files: dict[str, str]
    """Name -> path, as for engine.checkpoint.open_checkpoint."""
    config: dict[str, Any]
    """The options of an EngineConfig."""


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Stop this request. Its blocks are free within a step; nothing more is sent for it."""

    id: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """Finish what runs, then exit with status 0."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Do you get on? Answered by Pong, which both threads of the replica have a hand in."""


Command = LoadModel | Generate | Count | Embed | Abort | Shutdown | Ping


TopLogprob = tuple[int, str, bytes, float]
"""A token's id, text, bytes and logprob."""


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    token_id: int
    text: str
    """The token alone; replacement characters where it holds part of a character."""
    bytes: bytes
    logprob: float
    top: list[TopLogprob] = []
    """The likeliest tokens at this place, best first."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The request was accepted; its prompt has this many tokens. Sent before the first Delta."""

    id: str
    num_prompt_tokens: int


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The prompt has this many tokens, which may be more than the model accepts."""

    id: str
    num_prompt_tokens: int


class ToolCallDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step added to tool call `index` of a choice. The first one of a call has its id and its name."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    """A piece of a JSON object; the joined pieces are the arguments."""


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="delta", omit_defaults=True):
    """What one step added to choice `index` of a request."""

    id: str
    index: int = 0
    text: str = ""
    reasoning: str = ""
    """What the model thinks before it answers, where its template sets that apart."""
    tool_calls: list[ToolCallDelta] = []
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    finish_reason: FinishReason | None = None
    """Set in the last delta of the choice."""
    stop_reason: str | int | None = None
    """The stop string or token that ended it."""
    num_output_tokens: int = 0
    """All tokens computed for this choice so far, the stop token included."""
    num_cached_tokens: int = 0
    """In the first delta of the request: tokens of the prompt that were found in the prefix cache."""


class Embedded(msgspec.Struct, frozen=True, kw_only=True, tag="embedded"):
    """All vectors of a request, and its end."""

    id: str
    vectors: bytes
    """One after another, each `size` floats of 32 bits, little-endian."""
    size: int
    num_tokens: int
    """Computed for all texts together, control tokens and prompts included."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request ended in an error; nothing more is sent for it."""

    id: str
    code: str
    """The code of an error in core.errors."""
    message: str
    param: str | None = None

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message, param=self.param)


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded: the replica takes requests from here on."""

    family: str
    context_length: int
    vocab_size: int
    has_template: bool
    num_blocks: int
    weight_bytes: int
    kv_bytes: int
    load_seconds: float
    isa: str
    threads: int
    shares_weights: bool = False
    """They lie in a file that every replica of the model maps: two of them take the memory of one."""


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag="loading"):
    """How far the load is; sent now and then before Ready or LoadFailed. A model that loads at once sends none."""

    percent: float
    """Of the weights; the rest takes little."""
    seconds_left: float


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The last frame of a replica that could not load its model."""

    code: str
    message: str

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message)


class EngineStats(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """How busy the replica is; sent whenever it changes, at most once a step."""

    num_running: int
    num_waiting: int
    num_free_blocks: int
    num_preemptions: int
    num_steps: int
    num_prompt_tokens: int
    """Of the requests that have begun their answer, those in the prefix cache included."""
    num_output_tokens: int
    num_cached_tokens: int = 0
    """Of the prompts' tokens, those that were found in the prefix cache."""
    num_cached_blocks: int = 0
    """Of the free blocks, those that hold prefixes until somebody needs them."""
    num_draft_tokens: int = 0
    """Proposed by speculation."""
    num_accepted_tokens: int = 0
    """Of those, the ones that the model would have said itself."""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to a Ping, sent between two steps."""

    step_seconds: float | None
    """What the longest step is expected to take, by those so far. None before the first."""


Event = Started | Counted | Delta | Embedded | Failed | Loading | Ready | LoadFailed | EngineStats | Pong


class Frame(msgspec.Struct, frozen=True):
    """One message on the wire: all events of a step together. Four bytes of length, big-endian, go before it."""

    events: list[Event]
