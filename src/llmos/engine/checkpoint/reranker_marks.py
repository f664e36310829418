"""The files that mark a folder as a reranker, as sentence-transformers writes them beside a CrossEncoder.

Qwen3-Reranker was published without them: nothing in its folder tells it from a model that chats. `llmos import --task
rerank` adds them to the version.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile, BadRequest
from llmos.engine.architectures._score_head import is_classifier
from llmos.engine.formats.json_file import read_json_object

_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
_LOGIT_SCORE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"


def reranker_marks(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the content of the files to add to a folder (file name -> path), by their names.

    As in sentence-transformers, the score of a model that writes text is the logit of "yes" minus that of "no". Raises
    BadRequest for files to which nothing can be added, and BadModelFile for damaged ones.
    """
    if "config.json" not in files:
        raise BadRequest("Only a Hugging Face folder can be imported with --task rerank.", param="task")
    if "modules.json" in files:
        raise BadRequest("The folder's modules.json says what the model does. Leave --task out.", param="task")
    steps = [{"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}]
    if is_classifier(read_json_object(files["config.json"], "config.json")):
        return {"modules.json": _as_json(steps)}
    tokens = {"true_token_id": _token_id(files, "yes"), "false_token_id": _token_id(files, "no")}
    steps.append({"idx": 1, "name": "1", "path": "1_LogitScore", "type": _LOGIT_SCORE})
    return {"modules.json": _as_json(steps), "1_LogitScore/config.json": _as_json(tokens)}


def _token_id(files: Mapping[str, Path], text: str) -> int:
    vocabulary: Any = {}
    if "tokenizer.json" in files:
        model = read_json_object(files["tokenizer.json"], "tokenizer.json").get("model")
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
    elif "vocab.json" in files:
        vocabulary = read_json_object(files["vocab.json"], "vocab.json")
    token_id = vocabulary.get(text) if isinstance(vocabulary, dict) else None
    if type(token_id) is not int:
        raise BadModelFile(
            f"The vocabulary has no token {text!r}, so the model can't be a reranker that answers yes or no."
        )
    return token_id


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
