"""The real model gives a given token the same score to the bit: beside any other requests, in any chunks, with and
without a prefix hit, in any order, after preemption, on one thread or two; and the score that it had while the model
wrote it itself."""

from functools import cache

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import Delta, Failed, Generate, Rate, Rated, SamplingParams
from llmos.engine.runner.native import NativeRunner
from support.examples import examples
from support.fakes import SomeBlocks, drain, generate, logprobs_of, tokens_of
from support.rated import numbers

NUM_BLOCKS = 40
STEM = "The quick brown fox jumps over the lazy dog. A list of numbers, one after another: "
PROMPTS = ["Once", "The capital of France is", STEM + "1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2,", STEM * 3 + "and so"]
TEXTS = [" upon a time", " upon", " Paris", " Paris, which is the largest city", " 3, 4, 5, 6, 1, 2, 3, 4, 5, 6", " on"]
CONFIGS = st.builds(
    EngineConfig,
    max_batched_tokens=st.sampled_from([6, 17, 64, 512]),
    max_prefill_tokens=st.sampled_from([3, 32, 256]),
    max_sequences=st.sampled_from([1, 3, 6]),
    prefix_cache=st.booleans(),
)


class Model:
    """The real model, loaded once for each number of threads."""

    def __init__(self, checkpoint):
        self.tokenizer = checkpoint.tokenizer
        self.prompts = [self.tokenizer.encode(text) for text in PROMPTS]
        self.texts = [self.tokenizer.encode(text) for text in TEXTS]
        self.runner = cache(
            lambda threads=1: NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=NUM_BLOCKS, threads=threads)
        )
        self.alone = cache(self._alone)

    def engine(self, config=None, num_blocks=NUM_BLOCKS, threads=1):
        return Engine(SomeBlocks(self.runner(threads), num_blocks), self.tokenizer, config or EngineConfig())

    def rate(self, id, prompt, texts, **options):
        request = Generate(id=id, tokens=self.prompts[prompt])
        return Rate(request=request, continuations=[self.texts[text] for text in texts], num_top=3, **options)

    def _alone(self, prompt, text):
        """Return the scores of a text, or of the prompt for None: computed alone, in one piece, without a cache."""
        engine = self.engine(EngineConfig(prefix_cache=False))
        texts = [] if text is None else [text]
        engine.submit(self.rate("alone", prompt, texts, scores_prompt=text is None))
        (event,) = drain(engine)["alone", 0]
        return numbers(event.prompt if text is None else event.continuations[0])


@pytest.fixture(scope="module")
def model(smollm2_path):
    return Model(open_checkpoint({"model.gguf": smollm2_path}))


RATES = st.builds(
    lambda prompt, texts, scores_prompt: ("rate", prompt, texts, scores_prompt or not texts),
    st.integers(0, len(PROMPTS) - 1),
    st.lists(st.integers(0, len(TEXTS) - 1), max_size=5),
    st.booleans(),
)
ANSWERS = st.builds(
    lambda prompt, scored: ("generate", prompt, scored), st.integers(0, len(PROMPTS) - 1), st.booleans()
)


@settings(
    deadline=None, max_examples=examples(20), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    arrivals=st.lists(st.one_of(RATES, RATES, ANSWERS), min_size=1, max_size=5),
    config=CONFIGS,
    num_blocks=st.sampled_from([8, 10, NUM_BLOCKS]),
    threads=st.sampled_from([1, 2]),
)
def test_nothing_beside_a_text_changes_its_scores(model, arrivals, config, num_blocks, threads):
    engine = model.engine(config, num_blocks, threads)
    outputs = {}
    for i, (kind, prompt, *rest) in enumerate(arrivals):
        if kind == "rate":
            engine.submit(model.rate(f"{i}", prompt, rest[0], scores_prompt=rest[1]))
        else:
            request = generate(f"{i}", model.prompts[prompt], max_tokens=12)
            engine.submit(msgspec.structs.replace(request, prompt_logprobs=3 if rest[0] else None))
        for event in engine.step():
            outputs.setdefault((event.id, getattr(event, "index", 0)), []).append(event)
    for key, events in drain(engine).items():
        outputs.setdefault(key, []).extend(events)
    for i, (kind, prompt, *rest) in enumerate(arrivals):
        events = outputs[f"{i}", 0]
        rated = [event for event in events if isinstance(event, Rated)]
        assert not any(isinstance(event, Failed) for event in events)
        texts, scores_prompt = rest if kind == "rate" else ([], rest[0])
        if not rated:
            assert kind == "generate"
            assert not scores_prompt
            continue
        assert [numbers(each) for each in rated[0].continuations] == [model.alone(prompt, text) for text in texts]
        assert numbers(rated[0].prompt) == (model.alone(prompt, None) if scores_prompt else [])


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"temperature": 1.2, "seed": 5, "frequency_penalty": 0.4}])
@pytest.mark.parametrize("max_draft_tokens", [0, 8])
def test_a_text_has_the_scores_that_it_had_while_it_was_written(model, sampling, max_draft_tokens):
    engine = model.engine(EngineConfig(max_draft_tokens=max_draft_tokens))
    params = SamplingParams(max_tokens=40, ignore_eos=True, logprobs=4, n=2, **sampling)
    engine.submit(Generate(id="r", tokens=model.prompts[2], sampling=params))
    outputs = drain(engine)
    answers = [tokens_of(outputs["r", i]) for i in range(2)]
    if max_draft_tokens and not sampling["temperature"]:
        assert engine.load().num_accepted_tokens, "no draft came true"
    for fresh in (False, True):  # with the prefixes of the answers in the cache, and without
        engine = model.engine() if fresh else engine
        engine.submit(Rate(request=Generate(id="s", tokens=model.prompts[2]), continuations=answers, num_top=4))
        (event,) = drain(engine)["s", 0]
        for i, scores in enumerate(event.continuations):
            written = logprobs_of(outputs["r", i])
            assert [(s.token_id, s.text, s.bytes, s.logprob, s.top) for s in scores] == [
                (w.token_id, w.text, w.bytes, w.logprob, w.top) for w in written
            ]


def test_the_scores_of_a_whole_text_are_those_of_its_parts(model):
    """A prompt's own scores, and those of the same tokens as a continuation."""
    whole = model.prompts[3]
    engine = model.engine()
    engine.submit(Rate(request=Generate(id="whole", tokens=whole), scores_prompt=True, num_top=2))
    engine.submit(Rate(request=Generate(id="part", tokens=whole[:1]), continuations=[whole[1:]], num_top=2))
    outputs = drain(engine)
    assert outputs["whole", 0][-1].prompt == outputs["part", 0][-1].continuations[0]
    assert isinstance(outputs["whole", 0][-1], Rated)


def test_the_scores_with_an_answer_are_those_without(model):
    engine = model.engine()
    engine.submit(msgspec.structs.replace(generate("g", model.prompts[2], max_tokens=3), prompt_logprobs=2))
    engine.submit(Rate(request=Generate(id="s", tokens=model.prompts[2]), scores_prompt=True, num_top=2))
    outputs = drain(engine)
    (rated, *deltas), (scored,) = outputs["g", 0], outputs["s", 0]
    assert rated.prompt == scored.prompt
    assert all(isinstance(delta, Delta) for delta in deltas)
