"""The messages between the gateway and a replica, as msgspec structs. Both processes import this module and nothing
else of each other.

    gateway ---- Command, one a frame -----------------------------> replica
    gateway <--- Frame: the events of one engine step, in order ---- replica

A frame is four bytes of length, big-endian, and that many bytes of msgpack (replica/framing.py). A conversation:

    LoadModel                   -> Loading*, then Ready or LoadFailed
    Generate                    -> Started, Rated for prompt_logprobs, Delta+ of each choice; or Failed, at any time
    Rate                        -> Started, then Rated; or Failed
    Embed                       -> Started, then Embedded; or Failed
    Count                       -> Counted or Failed
    Tokenize                    -> Tokenized or Failed
    Ping                        -> Pong
    Abort, Shutdown             no reply
    (whenever its load changes) -> EngineStats
"""

from typing import Any, Literal

import msgspec

from llmos.core.encryption.data_key import DataKey
from llmos.core.errors import LLMOSError, error_of_code

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why a choice ended, in OpenAI's words. The engine itself never sends content_filter: a remote provider does, when it
withholds the rest of an answer."""

# --- requests


class Grammar(msgspec.Struct, frozen=True):
    """A constraint on the text of an answer."""

    kind: Literal["json_object", "json_schema", "regex", "choice", "lark", "tools"]
    """"tools" is internal: a lark grammar, built by the engine from Tools, that may name control tokens."""
    text: str = ""
    """A JSON schema, a regular expression, a JSON array of strings ("choice"), or a lark grammar. Unused for
    "json_object"."""
    field: str = "response_format"
    """The request field that the constraint came in. Error messages name it."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The functions that the model may call."""

    functions: list[dict[str, Any]]
    """In OpenAI's format: {"name", "description", "parameters": JSON schema, "strict"}."""
    choice: Literal["auto", "required", "none", "named"] = "auto"
    """"auto": may call, "required": must call, "none": must not call, "named": must call `name`."""
    name: str | None = None
    is_parallel: bool = True
    """One answer may have several calls."""


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters for choosing tokens and ending an answer. check_sampling() in sampling_params.py validates them."""

    max_tokens: int | None = None
    """None: as many as fit into the context window."""
    may_exceed_context: bool = False
    """If max_tokens doesn't fit into the context window, shorten the answer instead of rejecting the request."""
    min_tokens: int = 0
    """Neither a stop token nor a stop string ends an answer that is shorter."""
    temperature: float = 1.0
    top_k: int = 0
    """0: no limit."""
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    seed: int | None = None
    """None: random."""
    n: int = 1
    """Number of choices: independent answers to the same prompt."""
    stop: list[str] = []
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    logprobs: int | None = None
    """None: no logprobs. 0: of the sampled token. k: also of the k most likely tokens."""
    include_stop: bool = False
    """Keep the stop string or stop token in the answer."""


MAX_TOP = 20
"""The most likely tokens that a request may ask for at each position of a given text."""

MAX_CONTINUATIONS = 1000
"""The texts that one request may score behind its prompt."""

MAX_PRIORITY = 100
"""Priorities are bounded so that a waiting request, whose priority rises, overtakes every other in bounded time."""

BACKGROUND_PRIORITY = -MAX_PRIORITY
"""Such a request runs only in capacity that no other request needs: it skips most steps while others run, and is
preempted when they need its place."""


class AdapterFiles(msgspec.Struct, frozen=True):
    """A LoRA adapter of the served model."""

    digest: str
    files: dict[str, str]
    """File name -> path; see open_adapter() in checkpoint/adapters.py."""
    keys: dict[str, DataKey] = {}
    """File name -> key of an encrypted file."""


class Generate(msgspec.Struct, frozen=True, kw_only=True, tag="generate", omit_defaults=True):
    """Generate answers to one prompt. Exactly one of messages, user_text, text and tokens is set."""

    id: str
    messages: list[dict[str, Any]] | None = None
    """A conversation in OpenAI's format, rendered by the model's chat template."""
    continue_final_message: bool = False
    """The last message is the beginning of the answer, which the model continues."""
    user_text: str | None = None
    """The text of a single user message, rendered by the chat template; plain text for a model without a template."""
    text: str | None = None
    """Plain text, which no template changes."""
    parse_special: bool = False
    """Control strings in `text`, such as <|im_end|>, are control tokens. Otherwise they are text like any other."""
    suffix: str | None = None
    """With `text`: what comes after the answer. Only models with tokens for filling in the middle take it."""
    tokens: list[int] | None = None
    """Token ids."""
    echo: bool = False
    """Begin each answer with the text of the prompt."""
    prompt_logprobs: int | None = None
    """Score the prompt's own tokens, with the k most likely ones at each position. None: don't."""
    caller: str = ""
    """The tenant. Requests are scheduled fairly between callers."""
    cache_salt: str = ""
    """Requests share cached prefixes only with requests of the same salt."""
    priority: int = 0
    """-MAX_PRIORITY to MAX_PRIORITY, higher first. A waiting request's priority rises."""
    grammar: Grammar | None = None
    """Tokens that would violate it are never sampled."""
    tools: Tools | None = None
    """With messages only."""
    adapter: AdapterFiles | None = None
    """Answer with this LoRA adapter applied."""
    template_options: dict[str, Any] = {}
    """Further variables for the chat template, such as enable_thinking."""
    sampling: SamplingParams = SamplingParams()


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Count the tokens of a request's prompt without running it. Replies: Counted or Failed."""

    request: Generate

    @property
    def id(self) -> str:
        return self.request.id


class Tokenize(msgspec.Struct, frozen=True, kw_only=True, tag="tokenize", omit_defaults=True):
    """Return the tokens of a request's prompt without running it. Replies: Tokenized or Failed."""

    request: Generate
    adds_bos: bool = True
    """Texts begin with BOS if the model was trained so."""
    adds_generation_prompt: bool = True
    """Conversations end with what the template writes before an answer."""

    @property
    def id(self) -> str:
        return self.request.id


class Rate(msgspec.Struct, frozen=True, kw_only=True, tag="rate", omit_defaults=True):
    """Score texts that are given, instead of generating any. Replies: Started and Rated, or Failed."""

    request: Generate
    """The prompt, who asks, and the adapter. Its sampling, grammar and echo have no effect."""
    continuations: list[str | list[int]] = []
    """Texts, or token ids, each of which is scored directly behind the prompt."""
    scores_prompt: bool = False
    """Score the prompt's own tokens, too. Without it, `continuations` is not empty."""
    num_top: int = 0
    """The most likely tokens to report at each position, 0 to MAX_TOP."""

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def caller(self) -> str:
        return self.request.caller


class Embed(msgspec.Struct, frozen=True, kw_only=True, tag="embed", omit_defaults=True):
    """Embed texts as vectors, or score pairs of texts. Replies: Started and Embedded, or Failed."""

    id: str
    inputs: list[str | list[int]] = []
    """Texts, or token ids that are used unchanged."""
    pairs: list[tuple[str, str]] = []
    """Instead of `inputs`, for a reranker: a query and a document each. The vector of a pair has one number, its
    score."""
    instruction: str | None = None
    """With `pairs`: tells the reranker what a relevant document is. None: the model's default."""
    dimensions: int | None = None
    """Keep only the first `dimensions` values of each vector. None: all."""
    truncate_to: int | None = None
    """Cut longer texts after this many tokens; 0: at the model's limit. None: a text over the limit is an error."""
    prompt: str | None = None
    """The name of a prompt of the model (EncoderSpec.prompts) to put before each text. None: the default prompt."""
    role: Literal["query", "document"] | None = None
    """Without `prompt`: use the model's prompt for queries or for documents, if it has one."""
    caller: str = ""
    priority: int = 0
    input_names: list[str] = []
    """The name of each input, or of each pair's document, in the caller's request, for error messages. Empty:
    "input[0]", "input[1]", ..."""


# --- commands


class LoadStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a split model: some of its layers, on a node. Home sends it to the stage as its first frame."""

    node: str
    first: int
    last: int
    """Included."""
    files: dict[str, str]
    """File name -> path on the node."""
    config: dict[str, Any]
    """Options of an EngineConfig."""


class LoadModel(msgspec.Struct, frozen=True, kw_only=True, tag="load_model"):
    """Load a model. The first command to a replica. Replies: Ready or LoadFailed."""

    files: dict[str, str]
    """File name -> path; see open_checkpoint() in checkpoint/checkpoint.py."""
    keys: dict[str, DataKey] = {}
    """File name -> key of an encrypted file. They reach a replica by this message alone: they are in no file, no
    argument and no variable of its environment."""
    config: dict[str, Any]
    """Options of an EngineConfig."""
    stages: list[LoadStage] = []
    """For a split model, the stages after the layers of this process, in the order of its --stage-fd options."""


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Stop a request. Its cache blocks are free within one step, and no more events are sent for it."""

    id: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """Finish the running requests, then exit with status 0."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Check that the replica makes progress. Reply: Pong, which takes both of the replica's threads."""


Command = LoadModel | Generate | Rate | Count | Tokenize | Embed | Abort | Shutdown | Ping

# --- events


TopLogprob = tuple[int, str, bytes, float]
"""Token id, text, bytes, logprob."""


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """A sampled token and the natural logarithm of its probability in the model's own distribution."""

    token_id: int
    text: str
    """The token alone, with U+FFFD for a part of a character."""
    bytes: bytes
    logprob: float
    top: list[TopLogprob] = []
    """The most likely tokens at this position, best first."""


class TokenScore(msgspec.Struct, frozen=True, array_like=True):
    """A given token, and what the model makes of it at its position, in the model's own distribution: before
    temperature, penalties and grammars."""

    token_id: int
    text: str
    """The token alone, with U+FFFD for a part of a character."""
    bytes: bytes
    logprob: float
    """The natural logarithm of its probability."""
    rank: int
    """1 for the most likely token. Of tokens that are equally likely, the lowest id comes first."""
    entropy: float
    """The entropy of the distribution at this position, in nats."""
    top: list[TopLogprob] = []
    """The most likely tokens at this position, best first."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The request was accepted. Sent before its first Delta, Rated or Embedded."""

    id: str
    num_prompt_tokens: int
    ignored: list[str] = []
    """Fields of the request that have no effect on this model, because they ask for more than it can do: an effort of
    reasoning that its template doesn't take, or more tokens than fit."""


class ReportedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage that a provider reports for a request."""

    num_prompt_tokens: int
    """All tokens of the prompt, including those from the provider's cache."""
    num_cached_tokens: int = 0
    num_completion_tokens: int
    """The tokens of all choices together."""
    num_visible_tokens: int | None = None
    """The completion tokens without reasoning tokens; None if the provider doesn't report reasoning tokens."""
    cost_nanos: int | None = None
    """The cost that the provider reports, in billionths of the currency; None if it doesn't report one."""


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The reply to Count. The number may exceed what the model accepts."""

    id: str
    num_prompt_tokens: int
    reported: ReportedUsage | None = None
    """The provider's report, if a provider counted; sent once per request."""


class Tokenized(msgspec.Struct, frozen=True, kw_only=True, tag="tokenized"):
    """The reply to Tokenize."""

    id: str
    tokens: list[int]
    token_texts: list[str]
    """The text of each token alone, with U+FFFD for a part of a character."""
    text: str
    """The text of all tokens, control tokens included."""
    context_length: int
    """The tokens that the model accepts, prompt and answer together."""


class ToolCallDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next piece of tool call `index` of a choice. Only the first piece of a call has its id and name."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    """A piece of a JSON object; the pieces joined are the call's arguments."""


class Delta(msgspec.Struct, frozen=True, kw_only=True, tag="delta", omit_defaults=True):
    """The output that one step added to choice `index` of a request. A step may release text of earlier tokens."""

    id: str
    index: int = 0
    text: str = ""
    reasoning: str = ""
    """Reasoning before the answer, for models whose chat template marks it."""
    tool_calls: list[ToolCallDelta] = []
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    finish_reason: FinishReason | None = None
    """Set in the last delta of the choice only."""
    stop_reason: str | int | None = None
    """The stop string or stop token that ended the choice."""
    num_output_tokens: int = 0
    """Tokens generated for this choice so far, including a stop token."""
    num_cached_tokens: int = 0
    """In the first delta of a request: prompt tokens that were found in the prefix cache."""
    queued_micros: int = 0
    """In the first delta of a request: how long it waited for room in the batch."""


class Rated(msgspec.Struct, frozen=True, kw_only=True, tag="rated", omit_defaults=True):
    """The scores of given texts. Ends a Rate; comes before the first Delta of a Generate with prompt_logprobs."""

    id: str
    continuations: list[list[TokenScore]] = []
    """The scores of each continuation's tokens, in the order of the request."""
    prompt: list[TokenScore] = []
    """The scores of the prompt's tokens from the second on: the first one has nothing before it."""
    prompt_start: tuple[int, str, bytes] | None = None
    """The prompt's first token, its text and bytes, where the prompt is scored."""
    num_prompt_tokens: int = 0
    """The prompt's tokens, computed or not."""
    num_cached_tokens: int = 0
    """Tokens of the prompt that were found in the prefix cache."""
    num_computed_tokens: int = 0
    """Tokens of the prompt and of all continuations that went through the model."""
    queued_micros: int = 0
    """The time that the request waited for room in the batch."""


class Embedded(msgspec.Struct, frozen=True, kw_only=True, tag="embedded"):
    """The vectors of all inputs of an Embed. Ends the request."""

    id: str
    vectors: bytes
    """One vector after another, each `size` little-endian float32 values."""
    size: int
    num_tokens: int
    """Tokens of all inputs together, including control tokens and prompts."""
    queued_micros: int = 0
    """The time that the request waited for its first batch."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request ended in an error. No more events are sent for it."""

    id: str
    code: str
    """The code of an error class in core/errors.py."""
    message: str
    param: str | None = None
    """The request field at fault."""

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message, param=self.param)


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded and the replica accepts requests."""

    family: str
    context_length: int
    vocab_size: int
    has_template: bool
    num_blocks: int
    """Blocks of the KV cache."""
    weight_bytes: int
    kv_bytes: int
    load_seconds: float
    isa: str
    """The instruction set that the kernels use, such as "avx512"."""
    threads: int
    shares_weights: bool = False
    """The weights are mapped from a file that all replicas of the model share, so they take memory only once."""


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag="loading"):
    """The progress of a load. Sent at intervals before Ready or LoadFailed; a fast load sends none."""

    percent: float
    """Share of the weights that is loaded."""
    seconds_left: float


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The model could not be loaded. The last event of the replica, which then exits."""

    code: str
    message: str

    def error(self) -> LLMOSError:
        return error_of_code(self.code, self.message)


class EngineStats(msgspec.Struct, frozen=True, kw_only=True, tag="engine_stats"):
    """The current load of the replica, and counters since its start. Sent when they change, at most once a step."""

    num_running: int
    num_waiting: int
    num_free_blocks: int
    num_preemptions: int
    num_steps: int
    num_prompt_tokens: int
    """Prompt tokens of all requests whose answer has begun, including those found in the prefix cache, and the prompts
    and continuations of all that were rated."""
    num_output_tokens: int
    num_cached_tokens: int = 0
    """Prompt tokens that were found in the prefix cache."""
    num_cached_blocks: int = 0
    """Free blocks that still hold cached prefixes, which are evicted when a block is needed."""
    num_state_snapshots: int = 0
    """States of a recurrent model that are kept for later prompts."""
    num_draft_tokens: int = 0
    """Tokens that speculation proposed."""
    num_accepted_tokens: int = 0
    """Proposed tokens that the model accepted."""


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The reply to a Ping, sent between two steps."""

    step_seconds: float | None
    """The expected duration of the longest step, estimated from earlier steps. None before the first step."""


Event = (
    Started
    | Counted
    | Tokenized
    | Delta
    | Rated
    | Embedded
    | Failed
    | Loading
    | Ready
    | LoadFailed
    | EngineStats
    | Pong
)


class Frame(msgspec.Struct, frozen=True):
    """The events of one engine step."""

    events: list[Event]
