"""Models that embed texts, read from GGUF files, equal those read from their Hugging Face folders."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import task_of
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.config import EngineConfig
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.loading import load_embedding_engine
from llmos.engine.messages import Embed, Embedded
from support.gguf_encoders import write_gguf_encoder
from support.tiny_encoders import TinyEncoder, make_tiny_encoder

CASES = [
    ("modernbert", "cls"), ("modernbert-biases", "mean"), ("nomic_bert", "mean"), ("qwen3", "last"), ("bert", "cls"),
    ("roberta", "cls"), ("xlm-roberta", "cls"), ("distilbert", "mean"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], TinyEncoder]:
    return cache(lambda case, pooling: make_tiny_encoder(case, tmp_path_factory.mktemp("tiny"), pooling=pooling))


@pytest.fixture(params=CASES, ids=[case for case, _ in CASES])
def pair(request, tiny_of, tmp_path: Path) -> tuple[TinyEncoder, dict[str, Path], str]:
    """A model in a folder, and the files of the same model as GGUF."""
    tiny, pooling = tiny_of(*request.param), request.param[1]
    return tiny, {"model.gguf": write_gguf_encoder(tiny, tmp_path / "model.gguf", pooling=pooling)}, pooling


def test_both_formats_give_the_same_spec_and_tensors(pair):
    tiny, files, _ = pair
    from_folder, from_gguf = open_checkpoint(tiny.files()), open_checkpoint(files)
    spec, offset = from_folder.spec, from_folder.spec.first_position
    # The folder's sentence_bert_config.json has a limit of its own. Files have no unused rows of positions, and BERT's
    # relatives are one family in them.
    spec = replace(spec, max_positions=200 - offset, num_positions=spec.num_positions - offset, first_position=0)
    expected = asdict(replace(spec, family="bert" if from_gguf.family == "bert" else spec.family))
    for name, value in asdict(from_gguf.spec).items():
        if name != "decoder":
            assert value == (pytest.approx(expected[name]) if isinstance(value, float) else expected[name]), name
            continue
        for field, found in (value | {"tied_head": expected["decoder"]["tied_head"]}).items():  # there is no head
            wanted = expected["decoder"][field]
            assert found == (pytest.approx(wanted, rel=1e-6) if isinstance(found, float) else wanted), field
    assert set(from_gguf.tensors) == set(from_folder.tensors)
    for name in from_folder.spec.tensor_shapes():
        values = dequantize(from_folder.tensors[name])
        assert np.array_equal(
            dequantize(from_gguf.tensors[name]), values[offset:] if name == "positions.weight" else values
        ), name


def test_texts_become_the_vectors_of_transformers(pair):
    tiny, files, pooling = pair
    description = describe(files, with_tokenizer=True)
    assert (task_of(description.family), description.unsupported) == ("embed", None)
    engine, _ = load_embedding_engine(files, EngineConfig(threads=1, weights="f32"))
    engine.submit(Embed(id="r", inputs=["Rivers falling [SEP]", "the stone, b"]))
    [event] = [event for events in iter(engine.step, []) for event in events]
    assert isinstance(event, Embedded)
    vectors = np.frombuffer(event.vectors, "<f4").reshape(2, -1)
    prepared = engine.prepare(Embed(id="r", inputs=["Rivers falling [SEP]", "the stone, b"]))
    assert prepared.texts[1] == [2, 13, 8, 18, 15, 3]
    assert prepared.texts[0][:5] == [2, 5, 9, 11, 10]
    for tokens, vector in zip(prepared.texts, vectors, strict=True):
        if "roberta" in tiny.reference.config.model_type and tiny.reference.config.pad_token_id in tokens:
            continue  # in transformers a padding token has no position of its own
        expected = tiny.pooled(tokens, pooling)
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=1e-3, atol=1e-4)


def test_a_reranker_of_modernbert_is_refused(tiny_of, tmp_path):
    path = write_gguf_encoder(tiny_of("modernbert", "cls"), tmp_path / "model.gguf", pooling_type=4)
    with pytest.raises(UnsupportedModel, match="doesn't say how its tokens become one vector"):
        open_checkpoint({"model.gguf": path})
