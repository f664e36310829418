"""Models that embed texts by the layers of a decoder agree with transformers."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from llmos.core.errors import UnsupportedModel
from llmos.engine import _native
from llmos.engine.architectures import task_of
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.config import EngineConfig
from llmos.engine.encoder_spec import DecoderEmbedderSpec
from llmos.engine.loading import load_embedding_engine
from llmos.engine.messages import Embed, Embedded
from llmos.engine.runner.embedder import DecoderEmbedder
from support.tiny_encoders import DECODER_CASES, TinyEncoder, make_tiny_encoder


@pytest.fixture(scope="module")
def tiny_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyEncoder]:
    return cache(lambda case, pooling="mean": make_tiny_encoder(case, tmp_path_factory.mktemp("tiny"), pooling=pooling))


def runner_of(tiny: TinyEncoder, **options) -> DecoderEmbedder:
    checkpoint = open_checkpoint(tiny.files())
    assert isinstance(checkpoint.spec, DecoderEmbedderSpec)
    return DecoderEmbedder(checkpoint.spec, checkpoint.tensors, max_batched_tokens=512, **options)


@pytest.mark.parametrize("case", DECODER_CASES)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_its_vectors_are_those_of_transformers(tiny_of, case: str, pooling: str):
    tiny = tiny_of(case, pooling)
    runner = runner_of(tiny, weights="f32", threads=2)
    texts = [tiny.tokens(length, seed=length) for length in (1, 2, 7, 16, 17, 33, 60)]
    starts = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    for _ in range(2):  # the second time, the KV cache holds other texts
        vectors = runner.forward(np.concatenate([np.asarray(text, np.int32) for text in texts]), starts)
        for text, vector in zip(texts, vectors, strict=True):
            np.testing.assert_allclose(vector, tiny.pooled(text, pooling), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("isa", _native.available_isas())
@pytest.mark.parametrize("case", DECODER_CASES)
def test_8_bit_weights_come_close_on_every_instruction_set(tiny_of, case: str, isa: str):
    tiny = tiny_of(case)
    text = tiny.tokens(40)
    [vector] = runner_of(tiny, isa=isa).forward(np.asarray(text, np.int32), np.array([0, 40], np.int32))
    expected = tiny.pooled(text)
    assert vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected) > 0.995


def test_a_decoder_with_the_files_of_sentence_transformers_embeds_texts(tiny_of):
    files = tiny_of("qwen3", "last").files()
    description = describe(files)
    assert (description.family, description.embedding_size, description.unsupported) == ("qwen3_embedding", 48, None)
    assert task_of(description.family) == "embed"
    engine, ready = load_embedding_engine(files, EngineConfig(weights="f32"))
    assert ready.family == "qwen3_embedding"
    engine.submit(Embed(id="r", inputs=["river stone", [2, 7, 8, 9, 3]]))
    [event] = [event for event in iter(engine.step, []) for event in event]
    assert isinstance(event, Embedded)
    vectors = np.frombuffer(event.vectors, "<f4").reshape(2, 48)
    expected = tiny_of("qwen3", "last").pooled([2, 7, 8, 9, 3], "last")
    np.testing.assert_allclose(vectors[1], expected / np.linalg.norm(expected), rtol=1e-3, atol=1e-4)


def test_an_encoder_of_the_older_kind_does_not_pool_the_last_token(tiny_of):
    with pytest.raises(UnsupportedModel, match="the mean or the first token"):
        open_checkpoint(tiny_of("bert", "last").files())
