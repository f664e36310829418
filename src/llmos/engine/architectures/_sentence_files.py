"""Reads the files that sentence-transformers writes beside an encoder: how its outputs become the vector of a text, or
the score of a pair of texts.

modules.json                         the steps: Transformer, Pooling, perhaps Normalize; of a reranker: Transformer,
                                     perhaps LogitScore
1_Pooling/config.json                the mean over all tokens, or the first token
sentence_bert_config.json            the most tokens of a text
config_sentence_transformers.json    named prompts to put before a text, and how many numbers of a vector to keep

Settings of the poolings and of the last file that are neither used nor known to be harmless are refused by name.
"""

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._read_keys import ANY, Harmless, HarmlessValues, ReadKeys, without_harmless
from llmos.engine.architectures._score_head import with_score_files
from llmos.engine.encoder_spec import DecoderEmbedderSpec, EncoderSpec, Pooling, ScoreHead
from llmos.engine.formats.json_file import read_json_object, read_text

MAX_PROMPT_CHARACTERS = 4096

_SETTINGS = "config_sentence_transformers.json"
_HARMLESS_SETTINGS: dict[str, HarmlessValues] = {"__version__": ANY, "model_type": ANY, "similarity_fn_name": ANY}
_HARMLESS_IN_POOLING: Harmless = {"word_embedding_dimension": ANY, "embedding_dimension": ANY}

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls"}
_DECODER_POOLINGS: dict[str, Pooling] = _POOLINGS | {"lasttoken": "last"}
_FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
}


def with_sentence_files(spec: EncoderSpec, files: Mapping[str, Path]) -> EncoderSpec:
    """Return the spec with the settings in the files. Without them, the vector is the mean and isn't normalized.

    Raises UnsupportedModel for steps that the engine doesn't have, and BadModelFile for damaged files.
    """
    steps = module_steps(files)
    if spec.score_head is not None:
        return _reranker(spec, spec.score_head, files, steps)
    _check_steps(steps, ("Transformer", "Pooling", "Normalize"))
    pooling_name = next((f"{path}/config.json" for kind, path in steps if kind == "Pooling"), "1_Pooling/config.json")
    config = _fields(files, "sentence_bert_config.json")
    settings = _fields(files, _SETTINGS)
    prompts, default = _prompts(settings)
    size = None if settings.get("truncate_dim") is None else settings.integer("truncate_dim", high=spec.hidden_size)
    _refuse_unknown(settings, _HARMLESS_SETTINGS)
    return replace(
        spec,
        max_positions=_max_positions(spec, config),
        pooling=_pooling(files, pooling_name, spec, has_prompts=bool(prompts)),
        truncated_size=None if size == spec.hidden_size else size,
        normalize=any(kind == "Normalize" for kind, _ in steps),
        lowercase=config.flag("do_lower_case", False),
        prompts=prompts,
        default_prompt=default,
    )


def _reranker(
    spec: EncoderSpec, head: ScoreHead, files: Mapping[str, Path], steps: list[tuple[str, str]]
) -> EncoderSpec:
    """Return the spec of a reranker with the settings in the files."""
    _check_steps(steps, ("Transformer", "LogitScore"))
    config, settings = _fields(files, "sentence_bert_config.json"), _fields(files, _SETTINGS)
    prompts, default = _prompts(settings)
    logit = next((_fields(files, f"{path}/config.json") for kind, path in steps if kind == "LogitScore"), None)
    head = with_score_files(head, settings=settings, transformer=config, logit=logit)
    _refuse_unknown(settings, _HARMLESS_SETTINGS | {"keep_in_fp32_modules": ANY})
    return replace(
        spec,
        max_positions=_max_positions(spec, config),
        lowercase=config.flag("do_lower_case", False),
        prompts=prompts,
        default_prompt=default,
        score_head=head,
    )


def _max_positions(spec: EncoderSpec, config: Fields) -> int:
    if config.get("max_seq_length") is None:
        return spec.max_positions
    return min(spec.max_positions, config.integer("max_seq_length"))


def module_steps(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return the kind of each module of modules.json and the folder of its files. Raises BadModelFile."""
    if "modules.json" not in files:
        return []
    try:
        modules = json.loads(read_text(files["modules.json"], "modules.json"))
        steps = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise BadModelFile("modules.json is not a list of modules with type and path.") from None
    return steps


def _check_steps(steps: Sequence[tuple[str, str]], known: Sequence[str]) -> None:
    """Raise UnsupportedModel for a step that isn't known."""
    for kind, _ in steps:
        if kind not in known:
            names = f"{', '.join(known[:-1])} and {known[-1]}"
            raise UnsupportedModel(f"modules.json has a step {kind[:64]!r}; this engine has {names}.")


def _pooling(files: Mapping[str, Path], name: str, spec: EncoderSpec, *, has_prompts: bool) -> Pooling:
    poolings = _DECODER_POOLINGS if isinstance(spec, DecoderEmbedderSpec) else _POOLINGS
    fields = _fields(files, name)
    includes_prompt = fields.flag("include_prompt", True)
    others = [key for key in _other_flags(fields) if key not in [_FLAGS[mode] for mode in poolings]]
    chosen = [mode for mode in poolings if fields.flag(_FLAGS[mode], False)]
    mode = fields.get("pooling_mode")
    _refuse_unknown(fields, _HARMLESS_IN_POOLING)
    if has_prompts and not includes_prompt:
        raise UnsupportedModel(f"{name}: include_prompt is false; this engine always includes the prompt.")
    if mode is not None:
        return poolings[fields.string("pooling_mode", known=poolings)]
    if others or len(chosen) > 1:
        raise UnsupportedModel(
            f"{name} asks for {', '.join(others or chosen)}; this engine pools by the mean or "
            f"{'the first or the last' if len(poolings) > 2 else 'the first'} token."
        )
    return poolings[chosen[0]] if chosen else "mean"


def _other_flags(fields: Fields) -> list[str]:
    return [key for key in fields.names() if key.startswith("pooling_mode_") and fields.flag(key, False)]


def _prompts(settings: Fields) -> tuple[dict[str, str], str | None]:
    section = settings.section("prompts")
    prompts = {name: section.get(name) for name in section.names()} if section is not None else {}
    default = settings.get("default_prompt_name")
    is_sound = all(isinstance(text, str) and len(text) <= MAX_PROMPT_CHARACTERS for text in prompts.values())
    if not is_sound or not (default is None or default in prompts):
        raise BadModelFile(
            f"{_SETTINGS}: prompts must map names to short texts, and default_prompt_name to one of them."
        )
    return prompts, default


def _fields(files: Mapping[str, Path], name: str) -> Fields:
    return Fields(ReadKeys(read_json_object(files[name], name) if name in files else {}), where=name)


def _refuse_unknown(fields: Fields, harmless: Harmless) -> None:
    """Raise UnsupportedModel for settings that were not read and aren't known to be harmless."""
    unknown = without_harmless(fields.unread(), harmless)
    if unknown:
        name, value = min(unknown.items())
        raise UnsupportedModel(
            f"{fields.where} has {name} set to {reprlib.repr(value)}, which this engine doesn't know; it may change "
            "the vectors or scores."
        )
