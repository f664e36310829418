"""Rerankers: scores as transformers', pairs as the tokenizer packs them or as the template renders them."""

import json
from collections.abc import Callable
from functools import cache
from math import exp

import numpy as np
import pytest
import torch

from llmos.core.errors import BadModelFile, BadRequest, PromptTooLong, UnsupportedModel
from llmos.engine import _native
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.checkpoint.reranker_marks import reranker_marks
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.loading import load_embedding_engine
from llmos.engine.messages import Embed, Embedded, Generate
from llmos.engine.sizing.fit import MemoryPlanner
from support.gguf_encoders import write_gguf_body
from support.tiny_encoders import make_tiny_encoder
from support.tiny_rerankers import (
    CLASSIFIERS,
    DOCUMENTS,
    QUERY,
    TOKENS,
    TinyReranker,
    make_tiny_qwen3_reranker,
    make_tiny_reranker,
    write_pair_tokenizer,
)

PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    "provided."
    ' Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
"""The prompt of Qwen3-Reranker's model card."""
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.fixture(scope="module")
def tiny_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyReranker]:
    return cache(lambda case: make_tiny_reranker(case, tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def bert(tmp_path) -> TinyReranker:
    return make_tiny_reranker("bert", tmp_path / "bert")


def engine_of(tiny: TinyReranker, **options) -> EmbeddingEngine:
    return load_embedding_engine(tiny.files(), EngineConfig(threads=2, **{"weights": "f32", **options}))[0]


def scores(engine: EmbeddingEngine, pairs: list[tuple[str, str]], **options) -> list[float]:
    engine.submit(Embed(id="r", pairs=pairs, **options))
    events = []
    while engine.has_work:
        events += engine.step()
    [event] = events
    assert isinstance(event, Embedded), event
    assert event.size == 1
    return np.frombuffer(event.vectors, "<f4").tolist()


def sigmoid(logit: float) -> float:
    return 1 / (1 + exp(-logit))


PAIRS = [(QUERY, document) for document in DOCUMENTS]


# --- classifiers with one label


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_scores_are_those_of_transformers(tiny_of, case: str):
    tiny = tiny_of(case)
    expected = [sigmoid(tiny.logit(*pair)) for pair in PAIRS]
    assert scores(engine_of(tiny), PAIRS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("isa", _native.available_isas())
def test_scores_of_8_bit_weights_come_close(tiny_of, isa: str):
    for case in ("bert", "modernbert"):
        tiny = tiny_of(case)
        expected = [sigmoid(tiny.logit(*pair)) for pair in PAIRS]
        assert scores(engine_of(tiny, weights="auto", isa=isa), PAIRS) == pytest.approx(expected, abs=0.03)


def test_a_score_does_not_depend_on_the_pairs_beside_it(tiny_of):
    engine = engine_of(tiny_of("bert"), weights="auto")
    together = scores(engine, PAIRS)
    assert together == [scores(engine, [pair])[0] for pair in PAIRS]
    assert scores(engine, PAIRS[::-1]) == together[::-1]


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
        (
            "config.json",
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5"}},
        ),
        ("config_sentence_transformers.json", {"activation_fn": "torch.nn.modules.linear.Identity"}),
    ],
)
def test_the_activation_is_that_of_sentence_transformers(bert: TinyReranker, file: str, values: dict):
    bert.write(file, **values)
    assert scores(engine_of(bert), PAIRS) == pytest.approx([bert.logit(*pair) for pair in PAIRS], abs=1e-3)
    bert.write("config_sentence_transformers.json", activation_fn="torch.nn.modules.activation.Sigmoid")
    assert scores(engine_of(bert), PAIRS) == pytest.approx([sigmoid(bert.logit(*pair)) for pair in PAIRS], abs=1e-4)


def test_another_activation_is_refused_by_name(bert: TinyReranker):
    bert.write("config.json", sentence_transformers={"activation_fn": "torch.nn.modules.activation.Softplus"})
    with pytest.raises(UnsupportedModel, match=r"Softplus.*Sigmoid and Identity"):
        open_checkpoint(bert.files())


def test_modules_of_a_cross_encoder_are_read_and_others_refused(bert: TinyReranker):
    step = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    (bert.folder / "modules.json").write_text(json.dumps([step]))
    bert.write("sentence_bert_config.json", transformer_task="sequence-classification", max_seq_length=40)
    assert describe(bert.files()).context_length == 40
    (bert.folder / "modules.json").write_text(json.dumps([step, step | {"type": "a.Dense", "path": "1_Dense"}]))
    with pytest.raises(UnsupportedModel, match="'Dense'; this engine has Transformer and LogitScore"):
        open_checkpoint(bert.files())


@pytest.mark.parametrize("num_labels", [2, 3])
def test_a_head_with_several_labels_is_refused_by_name(tmp_path, num_labels: int):
    tiny = make_tiny_reranker("bert", tmp_path, num_labels=num_labels)
    with pytest.raises(UnsupportedModel, match=rf"head with {num_labels} labels \(BertForSequenceClassification\)"):
        open_checkpoint(tiny.files())
    assert describe(tiny.files()).family == "bert"


def test_a_description_names_the_task(bert: TinyReranker, tmp_path):
    described = describe(bert.files(), with_tokenizer=True)
    assert (described.family, described.task, described.embedding_size) == ("bert_reranker", "rerank", None)
    assert describe(make_tiny_encoder("bert", tmp_path / "other").files()).task == "embed"


def test_memory_is_planned_as_it_is_used(tiny_of):
    for case in ("bert", "modernbert-mean"):
        _, ready = load_embedding_engine(tiny_of(case).files(), EngineConfig(threads=1))
        assert MemoryPlanner.from_files(tiny_of(case).files()).weight_bytes == pytest.approx(
            ready.weight_bytes, rel=0.01
        )


# --- requests


def test_a_pair_that_is_too_long_is_refused_and_cut_only_on_request(bert: TinyReranker):
    engine = engine_of(bert)
    long = "river " * 250
    with pytest.raises(PromptTooLong, match=r"`documents\[1\]` and its query have 255 tokens .* Shorten them by 55"):
        engine.prepare(Embed(id="r", pairs=[(QUERY, "stone"), (QUERY, long)]))
    [tokens] = engine.prepare(Embed(id="r", pairs=[(QUERY, long)], truncate_to=0)).texts
    assert tokens == [2, 5, 8, 3, *[5] * 195, 3]
    with pytest.raises(PromptTooLong, match="leaves no room"):
        engine.prepare(Embed(id="r", pairs=[(long, "stone")], truncate_to=0))
    [tokens] = engine.prepare(Embed(id="r", pairs=[(QUERY, "river " * 100_000)], truncate_to=10)).texts
    assert len(tokens) == 10


def test_control_strings_in_a_pair_stay_text(bert: TinyReranker):
    [tokens] = engine_of(bert).prepare(Embed(id="r", pairs=[("[SEP] river", "[CLS]")])).texts
    assert tokens.count(3) == 2
    assert tokens.count(2) == 1


def test_each_kind_of_model_refuses_the_requests_of_the_other(bert: TinyReranker, tmp_path):
    engine = engine_of(bert)
    with pytest.raises(BadRequest, match="scores pairs of texts and makes no vectors"):
        engine.prepare(Embed(id="r", inputs=["river"]))
    with pytest.raises(BadRequest, match="scores pairs of texts and generates no text"):
        engine.prepare(Generate(id="r", text="river"))
    with pytest.raises(BadRequest, match="takes no instruction"):
        engine.prepare(Embed(id="r", pairs=PAIRS, instruction="Find stones."))
    embedder = load_embedding_engine(make_tiny_encoder("bert", tmp_path / "e").files(), EngineConfig(threads=1))[0]
    with pytest.raises(BadRequest, match="scores no pairs of texts"):
        embedder.prepare(Embed(id="r", pairs=PAIRS))


# --- Qwen3-Reranker


def mark(tiny: TinyReranker) -> None:
    """Add what `llmos import --task rerank` adds."""
    for name, content in reranker_marks(tiny.files()).items():
        (tiny.folder / name).parent.mkdir(exist_ok=True)
        (tiny.folder / name).write_text(content)


@torch.inference_mode()
def expected_score(tiny: TinyReranker, query: str, document: str, instruction: str = INSTRUCTION) -> float:
    """Return the score by transformers, as the model card computes it."""
    prompt = PROMPT.format(instruction=instruction, query=query, document=document)
    tokens = open_checkpoint(tiny.files()).tokenizer.encode(prompt, find_control=True)
    assert tokens.count(256) == tokens.count(257) + 1 == 3
    logits = tiny.reference(torch.tensor([tokens])).logits[0, -1]
    return torch.softmax(logits[[TOKENS["no"], TOKENS["yes"]]], 0)[1].item()


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_that_answers_yes_or_no_scores_by_these_tokens(tmp_path, tied: bool):
    tiny = make_tiny_qwen3_reranker(tmp_path, tied=tied)
    assert describe(tiny.files()).task == "generate"
    mark(tiny)
    assert describe(tiny.files(), with_tokenizer=True).family == "qwen3_reranker"
    engine = engine_of(tiny)
    pairs = [(QUERY, document) for document in DOCUMENTS[:3]]
    assert scores(engine, pairs) == pytest.approx([expected_score(tiny, *pair) for pair in pairs], abs=1e-4)
    told = scores(engine, pairs, instruction="Find stones.")
    assert told == pytest.approx([expected_score(tiny, *pair, "Find stones.") for pair in pairs], abs=1e-4)
    assert max(abs(np.subtract(told, scores(engine, pairs)))) > 1e-3


def test_its_conversion_to_a_classifier_has_the_same_scores(tmp_path):
    converted = make_tiny_qwen3_reranker(tmp_path / "converted", classifier=True)
    with pytest.raises(UnsupportedModel, match=r"may be a reward .* --task rerank"):
        open_checkpoint(converted.files())
    mark(converted)
    original = make_tiny_qwen3_reranker(tmp_path / "original")
    mark(original)
    pairs = [(QUERY, document) for document in DOCUMENTS[:3]]
    assert scores(engine_of(converted), pairs) == pytest.approx(scores(engine_of(original), pairs), abs=1e-5)


def test_the_template_and_the_instruction_of_the_files_are_used(tmp_path):
    tiny = make_tiny_qwen3_reranker(tmp_path)
    mark(tiny)
    template = (
        "{% for message in messages %}<|im_start|>{{ 'q' if message.role == 'query' else message.role }}:"
        "{{ message.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<think>{% endif %}"
    )
    (tiny.folder / "chat_template.jinja").write_text(template)
    tiny.write("sentence_bert_config.json", processing_kwargs={"chat_template": {"add_generation_prompt": True}})
    tiny.write("config_sentence_transformers.json", prompts={"web": "Find it."}, default_prompt_name="web")
    checkpoint = open_checkpoint(tiny.files())
    [tokens] = engine_of(tiny).prepare(Embed(id="r", pairs=[("a", "b <think>")])).texts
    expected = (
        "<|im_start|>system:Find it.<|im_end|><|im_start|>q:a<|im_end|><|im_start|>document:b <think><|im_end|><think>"
    )
    assert checkpoint.tokenizer.decode(tokens, skip_special=False) == expected
    assert tokens.count(258) == 1, "only the template writes a marker"


def test_a_long_document_is_cut_within_the_template(tmp_path):
    tiny = make_tiny_qwen3_reranker(tmp_path)
    mark(tiny)
    engine, long = engine_of(tiny), "stone " * 200
    with pytest.raises(PromptTooLong, match=r"`documents\[0\]` and its query have"):
        engine.prepare(Embed(id="r", pairs=[("river", long)]))
    [tokens] = engine.prepare(Embed(id="r", pairs=[("river", long)], truncate_to=0)).texts
    assert 590 < len(tokens) <= 600
    text = open_checkpoint(tiny.files()).tokenizer.decode(tokens, skip_special=False)
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_a_query_with_the_prompt_around_it_is_refused(tmp_path):
    tiny = make_tiny_qwen3_reranker(tmp_path)
    mark(tiny)
    query = PROMPT.partition("\n<Document>")[0].format(instruction=INSTRUCTION, query="river")
    with pytest.raises(BadRequest, match="Send the plain query"):
        engine_of(tiny).prepare(Embed(id="r", pairs=[(query, "stone")]))


def test_marks_need_a_folder_with_the_two_tokens(tmp_path, bert: TinyReranker):
    with pytest.raises(BadRequest, match="Only a Hugging Face folder"):
        reranker_marks({"model.gguf": tmp_path / "model.gguf"})
    tiny = make_tiny_qwen3_reranker(tmp_path / "qwen")
    mark(tiny)
    with pytest.raises(BadRequest, match=r"modules\.json says"):
        reranker_marks(tiny.files())


# --- GGUF files


def gguf_scores(tiny: TinyReranker, labels: list[str]) -> list[float]:
    files = {"model.gguf": write_gguf_body(tiny, tiny.folder / "model.gguf", pooling_type=4, labels=labels)}
    description = describe(files, with_tokenizer=True)
    assert (description.unsupported, description.task) == (None, "rerank")
    return scores(load_embedding_engine(files, EngineConfig(threads=2, weights="f32"))[0], PAIRS)


@pytest.mark.parametrize("case", ["roberta", "xlm-roberta"])
def test_a_gguf_file_gives_the_scores_of_its_folder(tmp_path, case: str):
    tiny = make_tiny_reranker(case, tmp_path)
    # The vocabulary of the file is one of WordPiece, which packs pairs with one token between.
    write_pair_tokenizer(tmp_path, "[CLS] $A [SEP] $B [SEP]")
    expected = [sigmoid(tiny.logit(*pair)) for pair in PAIRS]
    assert gguf_scores(tiny, ["LABEL_0"]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_a_gguf_file_of_a_model_that_answers_yes_or_no_has_their_rows(tmp_path, tied: bool):
    tiny = make_tiny_qwen3_reranker(tmp_path, tied=tied)
    expected = [expected_score(tiny, *pair) for pair in PAIRS]
    assert gguf_scores(tiny, ["yes", "no"]) == pytest.approx(expected, abs=1e-4)


def test_a_gguf_file_that_lacks_a_layer_of_the_head_is_refused(bert: TinyReranker):
    path = write_gguf_body(bert, bert.folder / "model.gguf", pooling_type=4, labels=["LABEL_0"])
    with pytest.raises(BadModelFile, match=r"lacks a layer of the reranker's head \(cls\.weight\)"):
        open_checkpoint({"model.gguf": path})


def test_a_gguf_file_with_other_labels_is_refused(tmp_path):
    tiny = make_tiny_qwen3_reranker(tmp_path)
    path = write_gguf_body(tiny, tmp_path / "model.gguf", pooling_type=4, labels=["good", "bad"])
    with pytest.raises(UnsupportedModel, match="another head than the words yes and no"):
        open_checkpoint({"model.gguf": path})
