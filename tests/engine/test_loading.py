"""The real model in the real engine: sensible answers, which are the same whatever else is in the batch."""

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.messages import Generate, SamplingParams
from support.fakes import drain, text_of, tokens_of

QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


@pytest.fixture(scope="module")
def loaded(smollm2_path):
    return load_engine({"model.gguf": smollm2_path}, EngineConfig())


def ask(engine, *requests):
    for request in requests:
        engine.submit(request)
    return drain(engine)


def chat(id="r", messages=QUESTION, **params):
    return Generate(id=id, messages=messages, sampling=SamplingParams(**{"temperature": 0, "max_tokens": 40} | params))


def test_ready_describes_the_loaded_model(loaded):
    engine, ready = loaded
    assert (ready.family, ready.context_length, ready.vocab_size, ready.has_template) == ("llama", 8192, 49152, True)
    assert ready.num_blocks * 16 >= ready.context_length
    assert ready.weight_bytes > 50_000_000
    assert ready.threads >= 1
    assert engine.context_length == 8192


def test_the_real_model_answers_and_stops(loaded):
    deltas = ask(loaded[0], chat())["r", 0]
    assert "Paris" in text_of(deltas)
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].num_output_tokens == len(tokens_of(deltas)) + 1


def test_a_greedy_answer_is_the_same_in_a_crowd_and_in_chunks_and_after_preemption(loaded, smollm2_path):
    engine, ready = loaded
    long = [{"role": "user", "content": "Tell me about these numbers: " + " ".join(map(str, range(60)))}]
    mine = chat("mine", long, max_tokens=60, ignore_eos=True)
    alone = tokens_of(ask(engine, mine)["mine", 0])
    crowd = [chat(f"r{i}", [{"role": "user", "content": f"Count to {i}."}], ignore_eos=True) for i in range(7)]
    assert tokens_of(ask(engine, *crowd, mine)["mine", 0]) == alone
    kv_bytes = 28 * ready.kv_bytes // ready.num_blocks
    tight = EngineConfig(
        max_batched_tokens=48, max_sequences=8, context_length=448, kv_bytes=kv_bytes, prefix_cache=False
    )
    engine, _ = load_engine({"model.gguf": smollm2_path}, tight)
    older = chat("older", long, max_tokens=120, ignore_eos=True)
    assert tokens_of(ask(engine, older, mine)["mine", 0]) == alone
    assert engine.load().num_preemptions > 0


def test_a_seeded_answer_is_the_same_in_a_crowd(loaded):
    mine = chat("mine", temperature=1.0, seed=3)
    alone = ask(loaded[0], mine)["mine", 0]
    crowd = [chat(f"r{i}", temperature=1.3, max_tokens=30) for i in range(5)]
    assert text_of(ask(loaded[0], *crowd, mine)["mine", 0]) == text_of(alone)


def test_a_stop_string_is_never_in_the_answer(loaded):
    whole = text_of(ask(loaded[0], chat())["r", 0])
    deltas = ask(loaded[0], chat(stop=["Paris"], logprobs=3))["r", 0]
    assert text_of(deltas) == whole[: whole.index("Paris")]
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason) == ("stop", "Paris")
    entries = [entry for delta in deltas for entry in delta.logprobs]
    assert "".join(entry.text for entry in entries) == text_of(deltas)
    assert all(entry.top[0][0] == entry.token_id and len(entry.top) == 3 for entry in entries), "greedy takes the best"


def test_a_wrong_option_is_refused_before_anything_is_loaded(smollm2_path):
    with pytest.raises(BadRequest, match="context_length is 9,000"):
        load_engine({"model.gguf": smollm2_path}, EngineConfig(context_length=9000))
