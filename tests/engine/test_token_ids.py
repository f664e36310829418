"""A token that the model has no embedding for fails the request that brings it, and no other."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_embedding_engine, load_engine
from llmos.engine.messages import Embed, Embedded, Failed, Generate, Grammar, SamplingParams
from support.fakes import drain, text_of
from support.tiny_encoders import make_tiny_encoder
from support.tiny_folders import CONFIG, write_folder

ROWS = CONFIG["vocab_size"]
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
CONFIG_OF_ENGINE = EngineConfig(threads=1, context_length=64)


def folder_with_tokens(folder: Path, *texts: str, template: str = TEMPLATE, special: bool = False) -> dict[str, Path]:
    """Write a tiny model whose tokenizer has these tokens behind the last row of the embedding."""
    write_folder(folder)
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.add_tokens([tokenizers.AddedToken(text, special=special, normalized=False) for text in texts])
    backend.save(str(path))
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return {path.name: path for path in folder.iterdir()}


def request(id: str, **prompt) -> Generate:
    params = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)
    return Generate(id=id, sampling=params, **prompt)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    files = folder_with_tokens(tmp_path_factory.mktemp("tokens") / "m", "<x>", "<y>")
    return load_engine(files, CONFIG_OF_ENGINE)[0]


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ({"text": "a <x> b"}, "prompt"),
        ({"messages": [{"role": "user", "content": "a <x> b"}]}, "messages"),
        ({"user_text": "<x>"}, "prompt"),
        ({"tokens": [1, ROWS]}, "prompt"),
        ({"tokens": [1, -1]}, "prompt"),
        ({"tokens": [1, 10**12]}, "prompt"),
    ],
)
def test_one_of_four_callers_with_such_a_token_is_refused_alone(engine, prompt, param):
    others = [request(id, text=id) for id in "abc"]
    for other in others:
        engine.submit(other)
    engine.step()
    with pytest.raises(BadRequest, match=rf"The prompt has token .* tokens are 0 to {ROWS - 1}") as no:
        engine.submit(request("bad", **prompt))
    assert no.value.param == param
    answers = drain(engine)
    assert {id for id, _ in answers} == {"a", "b", "c"}
    assert all(deltas[-1].finish_reason == "length" for deltas in answers.values())
    with pytest.raises(BadRequest, match="The prompt has token"):
        engine.count(request("bad", **prompt))


def test_the_refusal_says_which_text_it_is(engine):
    with pytest.raises(BadRequest, match=rf"token {ROWS} \('<x>'\).* Its tokenizer has more tokens than the model"):
        engine.prepare(request("bad", text="<x>"))


@pytest.mark.parametrize("spoil", ["token", "position", "block", "adapter"])
def test_a_step_refused_for_one_sequence_fails_its_request_only(engine, spoil):
    """Whatever the checks before a step miss, the native call says which sequence it is."""
    expected = text_of(_answer(engine, request("a", text="hello")))
    for id in "ab":
        engine.submit(request(id, text="hello"))
    prepared = engine.prepare(request("bad", text="good"))
    [sequence] = prepared.sequences
    if spoil == "token":
        sequence.tokens[2] = ROWS
    if spoil == "position":
        sequence.tokens += [1] * 3
    if spoil == "adapter":
        sequence.adapter_index = 7
    engine.admit(prepared)
    if spoil in ("position", "block"):
        forward = engine.runner.forward

        def spoilt(batch):
            index = len(batch.context_lengths) - 1
            changed = {"position": batch.context_lengths, "block": batch.block_tables}[spoil]
            changed[index] += 10_000
            return forward(batch)

        engine.runner.forward = spoilt
        events = engine.step()
        engine.runner.forward = forward
    else:
        events = engine.step()
    assert [(event.id, type(event)) for event in events] == [("bad", Failed)]
    answers = drain(engine)
    assert {id: text_of(deltas) for (id, _), deltas in answers.items()} == {"a": expected, "b": expected}
    engine.check_invariants()


def _answer(engine, one):
    engine.submit(one)
    return drain(engine)[one.id, 0]


def test_a_draft_is_made_of_tokens_of_the_model_only(engine):
    """A grammar forces text that the tokenizer has a token for, and the model has none."""
    grammar = Grammar(kind="choice", text=json.dumps(["a<x>b"]))
    answer = Generate(id="a", text="x", grammar=grammar, sampling=SamplingParams(temperature=0, max_tokens=9))
    assert text_of(_answer(engine, answer)) == "a<x>b"


def test_an_end_token_that_the_model_lacks_can_be_banned(tmp_path):
    files = folder_with_tokens(tmp_path / "m")
    path = tmp_path / "m" / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [256, 99_999]}))
    engine, _ = load_engine(files | {path.name: path}, CONFIG_OF_ENGINE)
    params = SamplingParams(temperature=0, max_tokens=5, min_tokens=3)
    engine.submit(Generate(id="a", text="hello", sampling=params))
    assert drain(engine)["a", 0][-1].finish_reason in ("stop", "length")


def test_a_model_whose_template_always_writes_such_a_token_is_refused(tmp_path):
    files = folder_with_tokens(tmp_path / "m", "<|role|>", template="<|role|>" + TEMPLATE, special=True)
    with pytest.raises(UnsupportedModel, match=rf"The chat template has the token '<\|role\|>' with the id {ROWS}"):
        load_engine(files, CONFIG_OF_ENGINE)


def test_a_model_whose_prompts_begin_with_such_a_token_is_refused(tmp_path):
    files = folder_with_tokens(tmp_path / "m", "<s>", special=True)
    path = files["tokenizer_config.json"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bos_token": "<s>", "add_bos_token": True}))
    with pytest.raises(UnsupportedModel, match=f"Each prompt has the token '<s>' with the id {ROWS}"):
        load_engine(files, CONFIG_OF_ENGINE)


# --- texts to embed


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    tiny = make_tiny_encoder("bert", tmp_path_factory.mktemp("encoder"))
    path = tiny.folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    fillers = [f"filler{i}" for i in range(tiny.vocab_size - backend.get_vocab_size())]
    backend.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in [*fillers, "<x>"]])
    backend.save(str(path))
    return load_embedding_engine(tiny.files(), EngineConfig(threads=1))[0]


def embedded(engine) -> dict:
    outputs = {}
    while engine.has_work:
        outputs |= {event.id: event for event in engine.step()}
    return outputs


@pytest.mark.parametrize("bad", ["river <x>", [2, 131, 3], [2, -5, 3]])
def test_one_of_four_callers_with_such_a_text_is_refused_alone(encoder, bad):
    for id in "abc":
        encoder.submit(Embed(id=id, inputs=["river", "stone"]))
    with pytest.raises(BadRequest, match=r"`input\[1\]` has token .* tokens are 0 to 130") as no:
        encoder.submit(Embed(id="bad", inputs=["river", bad]))
    assert no.value.param == "input[1]"
    assert [type(event) for event in embedded(encoder).values()] == [Embedded] * 3


def test_a_step_refused_for_one_text_fails_its_request_only(encoder):
    encoder.submit(Embed(id="alone", inputs=["river"]))
    expected = np.frombuffer(embedded(encoder)["alone"].vectors, "<f4")
    encoder.submit(Embed(id="a", inputs=["river"]))
    prepared = encoder.prepare(Embed(id="bad", inputs=["stone", "river"]))
    prepared.texts[0][1] = 131
    encoder.admit(prepared)
    encoder.submit(Embed(id="b", inputs=["river"]))
    outputs = embedded(encoder)
    assert isinstance(outputs["bad"], Failed)
    for id in "ab":
        assert np.array_equal(np.frombuffer(outputs[id].vectors, "<f4"), expected)
