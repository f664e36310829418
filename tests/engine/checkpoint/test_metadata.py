"""The metadata of a model, by GGUF's keys for every format."""

import json
from pathlib import Path

from llmos.engine.checkpoint.metadata import read_metadata


def test_a_gguf_file_has_its_own_keys(smollm2_path: Path) -> None:
    metadata = read_metadata({"model.gguf": smollm2_path})
    facts = metadata.facts
    assert (facts["general.architecture"], facts["llama.context_length"], facts["llama.block_count"]) == (
        "llama",
        8192,
        30,
    )
    assert "tokenizer.ggml.tokens" not in facts
    assert "tokenizer.chat_template" not in facts
    assert metadata.template is not None
    assert "<|im_start|>" in metadata.template
    assert not metadata.supports_thinking


def test_a_folder_has_the_same_keys(tmp_path: Path) -> None:
    config = {"model_type": "qwen3", "max_position_embeddings": 4096, "num_hidden_layers": 28, "rope_scaling": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "chat_template.jinja").write_text("{% if enable_thinking %}<think>{% endif %}")
    metadata = read_metadata({path.name: path for path in tmp_path.iterdir()})
    assert metadata.facts == {
        "general.architecture": "qwen3",
        "qwen3.context_length": 4096,
        "qwen3.block_count": 28,
    }
    assert metadata.supports_thinking


def test_a_model_without_a_template_has_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_positions": 1024}')
    metadata = read_metadata({"config.json": tmp_path / "config.json"})
    assert (metadata.template, metadata.facts["gpt2.context_length"]) == (None, 1024)
