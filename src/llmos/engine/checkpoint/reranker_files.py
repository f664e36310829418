"""Recognizes rerankers by the files of a Hugging Face folder, and reads their specs.

A reranker is a classifier with one label (bge-reranker), or a model that writes text and whose files of
sentence-transformers say that the logits of a token or two are the score (Qwen3-Reranker).
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import (
    EMBEDDER_SUFFIX,
    RERANKER_SUFFIX,
    Family,
    Source,
    config_spec,
    family_of_model_type,
    module_steps,
    score_head_of,
    score_sources,
    task_of,
    with_sentence_files,
)
from llmos.engine.architectures._score_head import (
    CONFIG_KEYS,
    check_labels,
    check_tokens,
    is_classifier,
    num_labels,
    with_config_activation,
)
from llmos.engine.encoder_spec import EncoderSpec, ModelSpec, Pooling, ScoreHead, embedder_of
from llmos.engine.spec import DecoderSpec

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

_OF_SENTENCE_TRANSFORMERS = CONFIG_KEYS[1]


def family_suffix(model_type: str, config: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """Return the suffix of the family of a model that scores pairs of texts, or that embeds texts unlike others of its
    family. "" for the usual models of a family. Raises BadModelFile.
    """
    task = task_of(model_type)
    if task is None:
        return ""
    steps = [kind for kind, _ in module_steps(files)]
    if "LogitScore" in steps:
        return RERANKER_SUFFIX
    if is_classifier(config) and num_labels(config) == 1:
        has_head = score_head_of(family_of_model_type(model_type), config) is not None
        # The one label of a decoder may be a reward for an answer. Those of sentence-transformers are for pairs.
        is_for_pairs = task == "embed" or steps or _OF_SENTENCE_TRANSFORMERS in config
        return RERANKER_SUFFIX if has_head and is_for_pairs else ""
    return EMBEDDER_SUFFIX if "modules.json" in files and task == "generate" else ""


def check_classifier(family: Family, config: Mapping[str, Any]) -> None:
    """Raise UnsupportedModel for a classifier that is not known to be a reranker."""
    check_labels(config)
    if is_classifier(config) and score_head_of(family, config) is not None:
        raise UnsupportedModel(
            "This model gives one score, which may be a reward for an answer or the relevance of a document. If it is a"
            " reranker, import it with --task rerank."
        )


def reranker_spec_and_sources(
    family: Family,
    config: Mapping[str, Any],
    ignored: Collection[str],
    files: Mapping[str, Path],
    tensor_names: Collection[str],
    sources_of: Callable[[ModelSpec], dict[str, Source]],
) -> tuple[EncoderSpec, dict[str, Source]]:
    """Return the spec of a reranker and the sources of its tensors. `sources_of`: of those of the body.

    Raises BadModelFile or UnsupportedModel.
    """
    # The head knows what these keys say.
    of_body = {key: value for key, value in config.items() if key not in CONFIG_KEYS}
    spec = config_spec(family, of_body, ignored)
    body = embedder_of(spec, family=spec.family) if isinstance(spec, DecoderSpec) else spec
    head, pooling = (score_head_of(family, config) if is_classifier(config) else None) or _OF_LOGITS
    head = replace(with_config_activation(head, config), template=getattr(family, "RERANK_TEMPLATE", None))
    described = replace(body, family=f"{spec.family}{RERANKER_SUFFIX}", pooling=pooling, score_head=head)
    reranker = with_sentence_files(described, files)
    assert reranker.score_head is not None, "the files describe the head, and never remove it"
    sources = sources_of(body)
    if reranker.score_head.true_token is None:
        return reranker, sources | score_sources(family, reranker.score_head, reranker.hidden_size)
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel(f"modules.json has a LogitScore, but {spec.family} models have no logits of tokens.")
    return reranker, sources | _token_sources(reranker.score_head, spec, tensor_names, sources_of)


def tokenizer_for_pairs(tokenizer: "Tokenizer", head: ScoreHead, num_rows: int) -> "Tokenizer":
    """Return the tokenizer of a reranker, whose chat template renders pairs if the model uses one.

    `num_rows`: of the model's embedding. Raises UnsupportedModel if it can't pack pairs.
    """
    if not head.uses_template:
        frame = tokenizer.pair_frame
        if max([*frame.before, *frame.between, *frame.behind], default=0) >= num_rows:
            raise UnsupportedModel(
                "The model has no embedding for the control tokens around a pair. Save the tokenizer that belongs to"
                " these weights beside them."
            )
        return tokenizer
    takes_pairs = tokenizer.has_template and tokenizer.takes_pairs(head.template_variables)
    # A template for chats may render messages of any role, which is not what the model was trained with.
    if takes_pairs and (head.template is None or _NAMES_QUERIES.search(tokenizer.template_text())):
        return tokenizer
    if head.template is None:
        raise UnsupportedModel(
            "The chat template of this reranker doesn't render messages with the roles query and document. Save one"
            " that does as chat_template.jinja beside the weights."
        )
    return tokenizer.with_template(head.template)


_NAMES_QUERIES = re.compile(r"""["']query["']""")

_OF_LOGITS: tuple[ScoreHead, Pooling] = (ScoreHead(uses_template=True), "last")
"""The head and the pooling of a model whose score is made of the logits of tokens."""


def _token_sources(
    head: ScoreHead,
    spec: DecoderSpec,
    tensor_names: Collection[str],
    sources_of: Callable[[ModelSpec], dict[str, Source]],
) -> dict[str, Source]:
    """Return the sources of the rows that make the logits of the head's tokens.

    Raises UnsupportedModel if logits are not just products with these rows.
    """
    check_tokens(head, spec.vocab_size)
    if spec.head_bias or spec.logit_softcap is not None or spec.logit_multiplier != 1:
        raise UnsupportedModel(f"This engine runs no rerankers of {spec.family}, which changes its logits.")
    matrix = sources_of(replace(spec, tied_head=False))["head.weight"]
    if matrix.name not in tensor_names:
        matrix = sources_of(spec)["embed.weight"]
    tokens = {"score_true.weight": head.true_token, "score_false.weight": head.false_token}
    return {name: replace(matrix, row=token) for name, token in tokens.items() if token is not None}
