"""The embedding engine: refused and truncated texts, fairness, failures and aborts."""

import json

import numpy as np
import pytest

from llmos.core.errors import BadRequest, Conflict, PromptTooLong, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.loading import load_embedding_engine, load_engine
from llmos.engine.messages import Embed, Embedded, Failed, Generate
from support.tiny_encoders import TinyEncoder, make_tiny_encoder

LONG = "river " * 90


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyEncoder:
    return make_tiny_encoder("bert", tmp_path_factory.mktemp("tiny"))


class FakeEncoder:
    """Makes vectors of a text's sum of tokens and their number."""

    def __init__(self, spec):
        self.spec = spec
        self.steps = []

    def forward(self, tokens, starts):
        texts = np.split(tokens, starts[1:-1])
        self.steps.append([text.tolist() for text in texts])
        if any(99 in text for text in texts):
            raise RuntimeError("the encoder broke")
        vectors = np.zeros((len(texts), self.spec.hidden_size), np.float32)
        vectors[:, 0] = [text.sum() if 98 not in text else np.nan for text in texts]
        vectors[:, 1] = [len(text) for text in texts]
        return vectors


@pytest.fixture
def engine(tiny: TinyEncoder) -> EmbeddingEngine:
    checkpoint = open_checkpoint(tiny.files())
    return EmbeddingEngine(FakeEncoder(checkpoint.spec), checkpoint.tokenizer, EngineConfig(max_batched_tokens=64))


def framed(length: int) -> list[int]:
    """A text of so many tokens between the control tokens."""
    return [2, *[7] * length, 3]


def drain(engine: EmbeddingEngine) -> dict:
    outputs = {}
    while engine.has_work:
        for event in engine.step():
            assert event.id not in outputs, "a request ends once"
            outputs[event.id] = event
    return outputs


def vectors(event: Embedded) -> np.ndarray:
    return np.frombuffer(event.vectors, "<f4").reshape(-1, event.size)


def embed(engine: EmbeddingEngine, *inputs, **options) -> np.ndarray:
    engine.submit(Embed(id="r", inputs=list(inputs), **options))
    event = drain(engine)["r"]
    assert isinstance(event, Embedded), event
    return vectors(event)


def test_control_tokens_go_around_a_text_and_none_comes_out_of_it(engine, tiny):
    tokenizer = open_checkpoint(tiny.files()).tokenizer
    assert tokenizer.affixes == ([2], [3])
    embed(engine, "river streams", "[SEP] river [MASK]")
    first, second = engine._encoder.steps[0]
    assert first == [2, 5, 6, 9, 3]
    assert second[0] == 2
    assert second[-1] == 3
    assert not {0, 2, 3, 4} & set(second[1:-1])


def test_usage_counts_control_tokens(engine):
    assert engine.submit(Embed(id="a", inputs=["river", "the river"])).num_prompt_tokens == 7
    assert drain(engine)["a"].num_tokens == 7
    assert engine.num_computed_tokens == 7


def test_given_tokens_are_used_unchanged(engine):
    embed(engine, [2, 7, 8, 3])
    assert engine._encoder.steps == [[[2, 7, 8, 3]]]


@pytest.mark.parametrize("tokens", [[7, 8], [2, 7], [7, 3], [2], [3], [15339, 1917]])
def test_token_ids_of_another_tokenizer_are_refused(engine, tokens):
    with pytest.raises(
        BadRequest, match=r"`input\[1\]` has token ids .* texts are 2 \(\[CLS\]\) … 3 \(\[SEP\]\)"
    ) as no:
        engine.prepare(Embed(id="r", inputs=["river", tokens]))
    assert "check_embedding_ctx_length=False" in no.value.message
    assert no.value.param == "input[1]"


def test_a_text_that_is_too_long_is_refused_naming_the_input_and_the_excess(engine):
    with pytest.raises(
        PromptTooLong, match=r"`input\[1\]` has 92 tokens; the model accepts 64. Shorten it by 28"
    ) as no:
        engine.prepare(Embed(id="r", inputs=["river", LONG]))
    assert no.value.param == "input[1]"
    with pytest.raises(PromptTooLong, match=r"`query` has 65 tokens"):
        engine.prepare(Embed(id="r", inputs=[framed(63)], input_names=["query"]))


@pytest.mark.parametrize(("limit", "length"), [(0, 64), (10, 10), (64, 64)])
def test_a_text_is_truncated_only_on_request_and_keeps_its_control_tokens(engine, limit, length):
    [tokens] = engine.prepare(Embed(id="r", inputs=[LONG], truncate_to=limit)).texts
    assert len(tokens) == length
    assert (tokens[0], tokens[-1]) == (2, 3)
    [given] = engine.prepare(Embed(id="r", inputs=[framed(90)], truncate_to=limit)).texts
    assert given == framed(length - 2)


def test_only_the_beginning_of_a_far_too_long_text_is_encoded(engine, monkeypatch):
    read = []
    encode_texts = engine._tokenizer.encode_texts

    def recording(texts):
        read.extend(map(len, texts))
        return encode_texts(texts)

    monkeypatch.setattr(engine._tokenizer, "encode_texts", recording)
    [tokens] = engine.prepare(Embed(id="r", inputs=["river " * 100_000], truncate_to=0)).texts
    assert tokens == [2, *[5] * 62, 3]
    assert max(read) < 1000
    with pytest.raises(PromptTooLong, match="has more than"):
        engine.prepare(Embed(id="r", inputs=["river " * 100_000]))
    assert max(read) < 20_000


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 49}, "dimensions"),
        ({"truncate_to": 65}, "truncate_prompt_tokens"),
        ({"truncate_to": 2}, "truncate_prompt_tokens"),
        ({"prompt": "query"}, "prompt_name"),
        ({"priority": 101}, "priority"),
        ({"inputs": []}, "input"),
        ({"inputs": [[131]]}, "input[0]"),
        ({"inputs": [[-1]]}, "input[0]"),
        ({"inputs": [[]]}, "input[0]"),
    ],
)
def test_an_error_names_its_field(engine, options, param):
    with pytest.raises(BadRequest) as refused:
        engine.prepare(Embed(**({"id": "r", "inputs": ["river"]} | options)))
    assert refused.value.param == param


def test_shortened_vectors_are_normalized_too(engine):
    for size in (2, 48):
        [vector] = embed(engine, "river", dimensions=size)
        assert vector.shape == (size,)
        assert np.linalg.norm(vector) == pytest.approx(1)


def test_a_large_request_does_not_hold_up_small_ones_even_of_the_same_caller(engine):
    engine.submit(Embed(id="large", inputs=["river"] * 300))
    engine.step()
    engine.submit(Embed(id="small", inputs=["stone"]))
    engine.submit(Embed(id="other", inputs=["stone"] * 3, caller="somebody else"))
    ended = []
    for _ in range(3):
        ended += [event.id for event in engine.step()]
    assert ended == ["other", "small"] or ended == ["small", "other"]
    assert set(drain(engine)) == {"large"}


def test_a_step_has_at_most_its_budget_of_tokens_but_always_one_text(tiny):
    checkpoint = open_checkpoint(tiny.files())
    engine = EmbeddingEngine(FakeEncoder(checkpoint.spec), checkpoint.tokenizer, EngineConfig(max_batched_tokens=64))
    engine.submit(Embed(id="r", inputs=[framed(length) for length in (58, 2, 62, 1, 28, 31, 31)]))
    drain(engine)
    assert [[len(text) for text in step] for step in engine._encoder.steps] == [[60, 4], [64], [3, 30], [33], [33]]


def test_an_abort_removes_all_texts_and_frees_the_id(engine):
    engine.submit(Embed(id="r", inputs=["river"] * 100))
    with pytest.raises(Conflict):
        engine.submit(Embed(id="r", inputs=["river"]))
    engine.step()
    engine.abort("r")
    assert not engine.has_work
    assert engine.load().num_waiting == 0
    assert engine.step() == []
    assert len(embed(engine, "river")) == 1


def test_a_failed_step_fails_the_requests_in_it_and_no_others(engine):
    engine.submit(Embed(id="broken", inputs=[[2, 99, 3]]))
    engine.submit(Embed(id="late", inputs=[framed(62)]))
    outputs = drain(engine)
    assert isinstance(outputs["broken"], Failed)
    assert isinstance(outputs["late"], Embedded)


def test_a_vector_with_nan_fails_its_request_only(engine):
    engine.submit(Embed(id="nan", inputs=[[2, 98, 3], framed(1)]))
    engine.submit(Embed(id="sound", inputs=[framed(1)]))
    outputs = drain(engine)
    assert isinstance(outputs["nan"], Failed)
    assert isinstance(outputs["sound"], Embedded)


def test_an_encoder_generates_no_text(engine):
    with pytest.raises(BadRequest, match="generates no text"):
        engine.prepare(Generate(id="r", text="river"))
    with pytest.raises(BadRequest, match="generates no text"):
        engine.count(Generate(id="r", text="river"))


def test_each_kind_of_model_needs_its_own_loader(tiny):
    engine, ready = load_embedding_engine(tiny.files(), EngineConfig(threads=1, weights="f32"))
    assert (ready.family, ready.context_length, ready.has_template) == ("bert", 64, False)
    expected = tiny.pooled([2, 5, 3])
    np.testing.assert_allclose(embed(engine, "river")[0], expected / np.linalg.norm(expected), atol=1e-5)
    with pytest.raises(BadRequest, match="makes embeddings"):
        load_engine(tiny.files(), EngineConfig())


# --- settings of sentence-transformers


def write_setting(folder, name, **settings):
    path = folder / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | settings))


def test_truncate_dim_is_the_size_of_a_vector_unless_a_request_asks_for_another(tmp_path):
    tiny = make_tiny_encoder("bert", tmp_path)
    write_setting(tmp_path, "config_sentence_transformers.json", truncate_dim=16, similarity_fn_name="cosine")
    engine, _ = load_embedding_engine(tiny.files(), EngineConfig(threads=1, weights="f32"))
    expected = tiny.pooled([2, 5, 3])
    np.testing.assert_allclose(embed(engine, "river")[0], expected[:16] / np.linalg.norm(expected[:16]), atol=1e-5)
    assert embed(engine, "river", dimensions=40).shape == (1, 40)
    assert describe(tiny.files()).embedding_size == 16


@pytest.mark.parametrize("name", ["config_sentence_transformers.json", "1_Pooling/config.json"])
def test_an_unknown_setting_is_refused_by_name(tmp_path, name):
    tiny = make_tiny_encoder("bert", tmp_path)
    write_setting(tmp_path, name, whitening=True)
    with pytest.raises(UnsupportedModel, match=rf"{name} has whitening set to True"):
        open_checkpoint(tiny.files())
