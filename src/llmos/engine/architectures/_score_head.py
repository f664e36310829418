"""Reads the head of a reranker, a classifier with one class, and what sentence-transformers says of its scores.

config.json                          the class, the number of labels, perhaps the activation
config_sentence_transformers.json    perhaps the activation; the instructions, as prompts
modules.json                         Transformer, perhaps LogitScore: a token's logit is the score
sentence_bert_config.json            variables of the chat template
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.encoder_spec import HeadActivation, ScoreHead

CLASSIFIER = "ForSequenceClassification"
"""Ends the names of classes whose models give labels to texts."""

CONFIG_KEYS = ("architectures", "sentence_transformers", "sbert_ce_default_activation_function")
"""The keys of config.json that belong to the head alone."""

_, _SECTION, _OLDER_KEY = CONFIG_KEYS
_SIGMOID = {"Sigmoid": True, "Identity": False}
"""The last part of the name of a torch class -> whether it is the sigmoid."""

HEAD_ACTIVATIONS: dict[str, HeadActivation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def is_classifier(config: Mapping[str, Any]) -> bool:
    """Return whether config.json names a class whose models give labels to texts."""
    names = config.get("architectures")
    return isinstance(names, list) and any(str(name).endswith(CLASSIFIER) for name in names)


def num_labels(config: Mapping[str, Any]) -> int:
    """Return the number of labels; as in transformers, it is 2 if the config doesn't say."""
    labels = config.get("id2label")
    if isinstance(labels, Mapping) and labels:
        return len([*labels.values()])  # reads them all
    found = config.get("num_labels")
    return found if type(found) is int else 2


def check_labels(config: Mapping[str, Any]) -> None:
    """Raise UnsupportedModel for a classifier with several labels, or none."""
    if is_classifier(config) and (count := num_labels(config)) != 1:
        name = next(str(each) for each in config["architectures"] if str(each).endswith(CLASSIFIER))
        raise limits.unsupported(
            f"a classification head with {count} labels ({name[:64]}); of classifiers, this engine runs rerankers, "
            "which have one label"
        )


def with_config_activation(head: ScoreHead, config: Mapping[str, Any]) -> ScoreHead:
    """Return the head with the activation of its scores by config.json. Raises UnsupportedModel for an unknown one."""
    section = config.get(_SECTION)
    name = section.get("activation_fn") if isinstance(section, Mapping) else None
    is_sigmoid = _is_sigmoid(config.get(_OLDER_KEY) if name is None else name, "config.json")
    return head if is_sigmoid is None else replace(head, is_sigmoid=is_sigmoid)


def _is_sigmoid(name: object, where: str) -> bool | None:
    """Return whether the torch class with this name is the sigmoid; None for None. Raises UnsupportedModel."""
    if name is None:
        return None
    kind = str(name).rpartition(".")[2]
    if kind not in _SIGMOID:
        raise UnsupportedModel(
            f"{where} asks for scores through {str(name)[:64]!r}; this engine has Sigmoid and Identity."
        )
    return _SIGMOID[kind]


def with_score_files(head: ScoreHead, *, settings: Fields, transformer: Fields, logit: Fields | None) -> ScoreHead:
    """Return the head with the settings of sentence-transformers.

    `settings`: config_sentence_transformers.json. `transformer`: sentence_bert_config.json. `logit`: the config of the
    step LogitScore, None without one. Raises UnsupportedModel and BadModelFile.
    """
    is_sigmoid = _is_sigmoid(settings.get("activation_fn"), settings.where)
    if is_sigmoid is not None:
        head = replace(head, is_sigmoid=is_sigmoid)
    modalities = transformer.section("modality_config")
    message = modalities.section("message") if modalities is not None else None
    if message is not None and message.get("format") not in (None, "flat"):
        raise UnsupportedModel(f"{transformer.where} has messages in another format than flat.")
    processing = transformer.section("processing_kwargs")
    chat = processing.section("chat_template") if processing is not None else None
    if chat is not None:
        variables = {name: chat.get(name) for name in chat.names() if name != "restore_suffix"}
        head = replace(head, template_variables=variables)
    if logit is None:
        return head
    if logit.get("module_input_name") not in (None, "causal_logits"):
        raise UnsupportedModel(f"{logit.where} reads another module_input_name than causal_logits.")
    false_token = logit.get("false_token_id")
    return replace(
        head,
        true_token=logit.integer("true_token_id", low=0, high=limits.MAX_VOCAB - 1),
        false_token=None if false_token is None else logit.integer("false_token_id", low=0, high=limits.MAX_VOCAB - 1),
    )


def check_tokens(head: ScoreHead, vocab_size: int) -> None:
    """Raise BadModelFile if the head's tokens have no row in the model's head."""
    for token in (head.true_token, head.false_token):
        if token is not None and token >= vocab_size:
            raise BadModelFile(f"LogitScore has the token id {token:,}; the model has {vocab_size:,} tokens.")
