"""The architecture of a text encoder, as data: a bidirectional transformer and how its outputs become one vector,
or, in a reranker, one score.

`architectures/<model_type>.py` turns a checkpoint's config into an EncoderSpec; `_sentence_files.py` adds what
sentence-transformers wrote beside it. Layers are post-norm: x = norm(x + attention(x)), x = norm(x + feed_forward(x)).

Canonical tensor names (a weight is [out, in], row-major; i is the layer):

    embed.weight                         [vocab, hidden]
    positions.weight                     [positions, hidden]
    types.weight                         [types, hidden]       only with token types; a single text has type 0
    embed_norm.weight .bias              [hidden]
    layers.{i}.q|k|v.weight .bias        [heads * head_dim, hidden]
    layers.{i}.o.weight .bias            [hidden, heads * head_dim]
    layers.{i}.attn_norm.weight .bias    [hidden]
    layers.{i}.up.weight .bias           [intermediate, hidden]
    layers.{i}.down.weight .bias         [hidden, intermediate]
    layers.{i}.mlp_norm.weight .bias     [hidden]

and those of a ScoreHead:

    score_dense.weight .bias             [hidden, hidden]
    score_norm.weight .bias              [hidden]
    score.weight .bias                   [1, hidden]
    score_true.weight score_false.weight [hidden]              instead of score: rows of a decoder's head
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from llmos.engine.spec import DecoderSpec

EncoderActivation = Literal["gelu", "gelu_tanh", "silu"]
Pooling = Literal["mean", "cls", "last"]
HeadActivation = Literal["tanh", "relu", "gelu", "gelu_tanh", "silu"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreHead:
    """The head of a reranker: turns the pooled vector of a pair of texts into one score.

    score = output(score · norm(activation(score_dense · vector))), without the parts that the head doesn't have. With
    a true token the score is the logit of that token, minus that of the false token if there is one.
    """

    has_dense: bool = False
    dense_bias: bool = True
    activation: HeadActivation = "tanh"
    """Applied to the outputs of score_dense."""
    has_norm: bool = False
    norm_bias: bool = True
    norm_eps: float = 1e-5
    score_bias: bool = True
    true_token: int | None = None
    false_token: int | None = None
    is_sigmoid: bool = True
    """Scores are the sigmoid of what the head computes: 0 to 1. False: scores have no limits."""
    uses_template: bool = False
    """A pair is rendered by the chat template, with the roles `query` and `document`, and with an instruction as system
    message. False: it is packed as the tokenizer packs pairs."""
    template: str | None = None
    """The chat template for pairs, if it isn't the tokenizer's."""
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the template."""

    def tensor_shapes(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and shape of the head's tensors."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.has_dense:
            shapes["score_dense.weight"] = (hidden, hidden)
            if self.dense_bias:
                shapes["score_dense.bias"] = (hidden,)
        if self.has_norm:
            shapes["score_norm.weight"] = (hidden,)
            if self.norm_bias:
                shapes["score_norm.bias"] = (hidden,)
        if self.true_token is not None:
            shapes["score_true.weight"] = (hidden,)
            if self.false_token is not None:
                shapes["score_false.weight"] = (hidden,)
            return shapes
        shapes["score.weight"] = (1, hidden)
        if self.score_bias:
            shapes["score.bias"] = (1,)
        return shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """The architecture of one model that embeds texts."""

    family: str
    """The model_type whose file in architectures/ made this spec."""
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    head_dim: int
    intermediate_size: int
    num_positions: int
    """Rows of positions.weight."""
    first_position: int = 0
    """The row of positions.weight for the first token of a text."""
    num_types: int = 0
    """Rows of types.weight. 0: no token types."""
    norm_eps: float = 1e-12
    activation: EncoderActivation = "gelu"
    max_positions: int
    """Most tokens of a text, including control tokens."""
    pooling: Pooling = "mean"
    """The vector of a text is the mean over its tokens ("mean"), or that of its first ("cls") or last token."""
    normalize: bool = False
    """Scale vectors to length 1."""
    truncated_size: int | None = None
    """A text's vector has so many of the first numbers unless a request asks for another size. None: all."""
    lowercase: bool = False
    """Convert texts to lower case before tokenization."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Named prompts to put before a text: {"query": "search_query: "}."""
    default_prompt: str | None = None
    """The name of the prompt to use if a request names none."""
    score_head: ScoreHead | None = None
    """The model is a reranker, which scores pairs of texts. None: it embeds texts."""

    @property
    def body(self) -> Self:
        """The model without its score head, whose outputs are pooled vectors."""
        return replace(self, score_head=None)

    @property
    def vector_size(self) -> int:
        """The size of a text's vector, unless a request asks for another one."""
        return self.truncated_size or self.hidden_size

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and shape of every tensor that a checkpoint of this spec must have."""
        return self._body_shapes() | self._head_shapes()

    def _head_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.score_head.tensor_shapes(self.hidden_size) if self.score_head is not None else {}

    def _body_shapes(self) -> dict[str, tuple[int, ...]]:
        hidden, inner, attention = self.hidden_size, self.intermediate_size, self.num_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "embed.weight": (self.vocab_size, hidden),
            "positions.weight": (self.num_positions, hidden),
        }
        if self.num_types:
            shapes["types.weight"] = (self.num_types, hidden)

        def add(name: str, shape: tuple[int, ...]) -> None:
            shapes[f"{name}.weight"] = shape
            shapes[f"{name}.bias"] = shape[:1]

        add("embed_norm", (hidden,))
        for i in range(self.num_layers):
            for name in ("q", "k", "v"):
                add(f"layers.{i}.{name}", (attention, hidden))
            add(f"layers.{i}.o", (hidden, attention))
            add(f"layers.{i}.attn_norm", (hidden,))
            add(f"layers.{i}.up", (inner, hidden))
            add(f"layers.{i}.down", (hidden, inner))
            add(f"layers.{i}.mlp_norm", (hidden,))
        return shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderEmbedderSpec(EncoderSpec):
    """The architecture of a model that embeds texts, whose layers are described by a DecoderSpec without a head."""

    decoder: DecoderSpec

    def _body_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.decoder.tensor_shapes()


def embedder_of(decoder: DecoderSpec, *, family: str) -> DecoderEmbedderSpec:
    """Return the spec of a model that embeds texts by the last residual stream of this decoder."""
    return DecoderEmbedderSpec(
        family=family,
        vocab_size=decoder.vocab_size,
        hidden_size=decoder.hidden_size,
        num_layers=decoder.num_layers,
        num_heads=decoder.num_heads,
        head_dim=decoder.head_dim,
        intermediate_size=decoder.intermediate_size,
        num_positions=0,
        max_positions=decoder.max_positions,
        decoder=replace(decoder, has_head=False, head_bias=False),
    )


ModelSpec = DecoderSpec | EncoderSpec
"""The architecture of a model of any family."""

Task = Literal["generate", "embed", "rerank"]
"""The task of a model: it writes text, makes vectors of texts, or scores pairs of texts."""


def task_of_spec(spec: ModelSpec) -> Task:
    if isinstance(spec, DecoderSpec):
        return "generate"
    return "embed" if spec.score_head is None else "rerank"
