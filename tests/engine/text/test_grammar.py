"""Constrained answers: every complete answer matches its grammar, and an invalid grammar fails only its own request."""

import json
import os
import random
import signal

import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.engine.messages import Failed, Generate, Grammar, SamplingParams
from llmos.engine.text.grammar_checker import GrammarChecker
from support.examples import examples
from support.fakes import EOS, MarkovRunner, continuation, drain, generate, make_engine, run, text_of, tokens_of
from support.grammars import PERSON, PERSON_GRAMMAR, ask

pytestmark = pytest.mark.process  # A grammar is tried in a process of its own.

DATE = Grammar("regex", "[0-9]{4}-[0-9]{2}-[0-9]{2}")


@pytest.fixture(scope="module")
def engine():
    """An engine for all tests that leave it idle, so that one process checks all grammars."""
    return make_engine()


def answers(engine, *requests):
    """Return (text, finish_reason) of every choice, in their order."""
    told = run(engine, *requests)
    return [(text_of(deltas), deltas[-1].finish_reason) for _, deltas in sorted(told.items())]


# --- answers match


TREE = {
    "type": "object",
    "properties": {"left": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/tree"}]}},
    "required": ["left"],
    "additionalProperties": False,
}
PATTERNS = ["^[a-c]+$", "x", "^(ab|cd)*$", r"\d{2,}"]
FORMATS = ["date", "uuid", "ipv4", "time"]


def make_schema(rng, depth=3):
    """Return a random schema of the kinds that are enforced, nested and perhaps recursive."""
    low, high = sorted([rng.randint(-40, 40), rng.randint(-40, 40)])
    short, long = sorted([rng.randint(0, 3), rng.randint(0, 3)])
    leaves = [
        {},
        {"type": rng.choice(["null", "boolean", "number", "string"])},
        {"type": "integer", "minimum": low, "maximum": high},
        {"type": "number", "minimum": low, "exclusiveMaximum": high + 1},
        {"type": "string", "minLength": short, "maxLength": long},
        {"type": "string", "pattern": rng.choice(PATTERNS)},
        {"type": "string", "format": rng.choice(FORMATS)},
        {"enum": [rng.choice(["a", 'q"\\', "你😀", "\n", 7, -1.5, None, True]) for _ in range(rng.randint(1, 4))]},
        {"$ref": "#/$defs/tree"},
    ]
    if not depth or rng.random() < 0.2:
        return rng.choice(leaves)
    inner = [make_schema(rng, depth - 1) for _ in range(rng.randint(1, 4))]
    names = rng.sample(["", "a", "ab", "name", "你", "😀", 'q"', "back\\slash", "<|im_end|>"], len(inner))
    nested = [
        {"type": "array", "items": inner[0], "minItems": short, "maxItems": long},
        {"type": "array", "prefixItems": inner, "items": False, "minItems": len(inner)},
        {"anyOf": inner},
        {
            "type": "object",
            "properties": dict(zip(names, inner, strict=True)),
            "required": names[: rng.randint(0, len(names))],
            "additionalProperties": rng.choice([False, {"type": "integer"}]),
        },
    ]
    return rng.choice(nested + nested[3:] * 3)


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), max_tokens=st.sampled_from([3, 60, 400]))
def test_every_completed_answer_validates(engine, seed, max_tokens):
    """The fake model gives all tokens nearly the same probability."""
    schema = {**make_schema(random.Random(seed)), "$defs": {"tree": TREE}}
    request = ask(
        Grammar("json_schema", json.dumps(schema)), tokens=[seed % 256, 1], temperature=1.5, max_tokens=max_tokens,
        seed=seed,
    )  # fmt: skip
    ((_, deltas),) = run(engine, request, check=False).items()
    event(f"{deltas[-1].finish_reason} of {max_tokens}")
    if deltas[-1].finish_reason == "stop":
        jsonschema.Draft202012Validator(schema).validate(json.loads(text_of(deltas)))
    else:
        assert deltas[-1].finish_reason == "length"
        assert deltas[-1].num_output_tokens == max_tokens


@pytest.mark.parametrize(
    ("grammar", "fits"),
    [
        (Grammar("json_object"), lambda text: isinstance(json.loads(text), dict)),
        (DATE, lambda text: len(text) == 10),
        (
            Grammar("choice", json.dumps(["yes", "no", '"maybe" 😀\n'])),
            lambda text: text in ("yes", "no", '"maybe" 😀\n'),
        ),
        (Grammar("lark", 'start: "a" start "b" | "-"'), lambda text: text == text[::-1].translate({97: 98, 98: 97})),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_kind_of_grammar_is_followed(engine, grammar, fits):
    for seed in range(6):
        ((text, reason),) = answers(engine, ask(grammar, temperature=1.5, seed=seed, tokens=[seed + 1]))
        assert reason == "length" or fits(text), text


def test_an_answer_ends_where_nothing_may_follow(engine):
    """No token is generated for the end, so an answer of exactly max_tokens tokens is complete."""
    ((_, deltas),) = run(engine, ask(DATE, max_tokens=10)).items()
    assert (deltas[-1].finish_reason, deltas[-1].num_output_tokens) == ("stop", 10)
    assert EOS not in tokens_of(deltas)
    assert answers(engine, ask(DATE, max_tokens=9))[0][1] == "length"


def test_where_more_may_follow_the_model_decides_when_to_stop(engine):
    told = [answers(engine, ask(Grammar("regex", "a+"), temperature=1.0, seed=seed))[0] for seed in range(8)]
    assert {reason for _, reason in told} == {"stop"}
    assert len({text for text, _ in told}) > 1
    assert all(set(text) == {"a"} for text, _ in told)


def test_each_choice_follows_the_grammar_independently(engine):
    told = answers(engine, ask(PERSON_GRAMMAR, n=4, temperature=1.5, seed=3))
    assert len({text for text, _ in told}) == 4
    for text, reason in told:
        assert reason == "stop"
        jsonschema.validate(json.loads(text), PERSON)


# --- what else is in the batch makes no difference


def test_the_tokens_are_the_same_alone_in_a_batch_with_drafts_and_after_preemption():
    def runner():
        return MarkovRunner(5, letters='{}[]", :0123abcdentgsmr', num_blocks=12, max_positions=160)

    requests = [ask(PERSON_GRAMMAR, id=f"g{i}", tokens=[i + 1] * 9, max_tokens=60) for i in range(4)]
    plain = [generate(id=f"p{i}", tokens=[i + 9] * 9, max_tokens=60) for i in range(2)]
    alone = {}
    for request in [*requests, *plain]:
        alone |= run(make_engine(runner(), max_draft_tokens=0), request)
    for num_drafts in (0, 8):
        crowded = make_engine(runner(), max_draft_tokens=num_drafts)
        together = run(crowded, *requests, *plain)
        assert crowded.load().num_preemptions > 0
        assert {key: tokens_of(deltas) for key, deltas in together.items()} == {
            key: tokens_of(deltas) for key, deltas in alone.items()
        }


def test_a_grammar_leaves_other_requests_unchanged(engine):
    told = run(engine, generate(id="plain", max_tokens=20), ask(DATE, id="date"))
    assert tokens_of(told["plain", 0]) == continuation([1, 2, 3], 20)


def test_logprobs_are_those_of_the_models_own_distribution(engine):
    first = run(engine, ask(DATE, logprobs=3))["r", 0][0].logprobs[0]
    free = run(engine, generate(max_tokens=1, logprobs=3))["r", 0][0].logprobs[0]
    assert first.top == free.top
    assert first.logprob < min(value for *_, value in first.top)


def test_a_logit_bias_chooses_among_the_allowed_tokens(engine):
    bias = {ord("7"): 100.0, ord("x"): 100.0}
    assert answers(engine, ask(DATE, logit_bias=bias)) == [("7777-77-77", "stop")]
    assert answers(engine, ask(Grammar("choice", '["no"]'), logit_bias={ord("n"): -100.0})) == [("no", "stop")]


# --- invalid grammars


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        (Grammar("json_schema", '{"type": "strng"}'), "strng"),
        (Grammar("json_schema", '{"not": {}}'), "nothing matches it"),
        (Grammar("json_schema", '{"not": {"minLength": 2}}'), "#/not can't be enforced"),
        (Grammar("json_schema", '{"type": "array", "uniqueItems": true}'), "uniqueItems"),
        (Grammar("json_schema", '{"type": "object", "minProperties": 2}'), "minProperties"),
        (Grammar("json_schema", '{"$ref": "#"}'), "nothing matches it"),
        (Grammar("json_schema", '{"$ref": "http://127.0.0.1/schema.json"}'), "nothing is fetched"),
        (Grammar("json_schema", '{"type": "integer", "minimum": 2, "maximum": 1}'), "minimum"),
        (Grammar("json_schema", '{"oneOf": [{"minimum": 1}, {"maximum": 2}]}'), "use `anyOf`"),
        (Grammar("json_schema", '{"items":' * 300 + "{}" + "}" * 300), "more than 64 levels deep"),
        (Grammar("json_schema", json.dumps({"enum": ["x" * 100] * 20_000})), "more than 65,536 bytes"),
        (Grammar("json_schema", '{"type": "integer", "multipleOf": 123456789}'), "too large"),
        (Grammar("lark", 'start: %json {"type": "integer", "multipleOf": 123456789}'), "more than 2 seconds"),
        (Grammar("json_schema", '{"type": "string", "pattern": "^a{1000000}$"}'), "too many"),
        (Grammar("regex", "(a"), "unclosed group"),
        (Grammar("regex", "(?=a)b"), "look-around"),
        (Grammar("lark", "start: nothing"), "unknown name"),
        (Grammar("lark", "start: start"), "nothing matches it"),
        (Grammar("choice", "[]"), "none of them empty"),
        (Grammar("choice", '["a", ""]'), "none of them empty"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_an_invalid_grammar_is_rejected_with_the_reason(engine, grammar, reason):
    with pytest.raises(BadRequest, match="response_format can't be followed") as raised:
        engine.submit(ask(grammar))
    assert reason in raised.value.message
    assert raised.value.param == "response_format"
    assert not engine.has_work


def test_the_error_names_the_callers_own_field(engine):
    with pytest.raises(BadRequest) as raised:
        engine.submit(ask(Grammar("regex", "(", "structured_outputs")))
    assert raised.value.param == "structured_outputs"


@pytest.mark.parametrize("field", [{"ignore_eos": True}, {"min_tokens": 3}, {"include_stop": True}])
def test_parameters_that_conflict_with_the_end_of_the_grammar_are_rejected(engine, field):
    with pytest.raises(BadRequest) as raised:
        engine.submit(ask(DATE, **field))
    assert raised.value.param in field


def test_a_grammar_that_explodes_halfway_fails_its_own_request_only(engine):
    """After thirty letters, further than the check goes, it has a million states."""
    told = run(
        engine, ask(Grammar("regex", "[a-z]{30}(a{1000000}|b{1000000})"), id="bad"), generate(id="good", max_tokens=40)
    )
    failed = told["bad", 0][-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.param) == ("invalid_request", "response_format")
    assert tokens_of(told["good", 0]) == continuation([1, 2, 3], 40)
    assert answers(engine, ask(DATE))[0][1] == "stop"


def test_an_aborted_answer_with_a_grammar_leaves_nothing_behind(engine):
    engine.submit(ask(PERSON_GRAMMAR, id="a"))
    engine.step()
    engine.abort("a")
    assert drain(engine) == {}


def test_a_checker_whose_process_was_killed_starts_another():
    checker = GrammarChecker()
    try:
        assert checker.check('start: "a"') is None
        killed = checker.pid
        os.kill(killed, signal.SIGKILL)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
        assert checker.check('start: "a"') is None
        assert checker.pid != killed
        assert "unknown name" in checker.check("start: b")
    finally:
        checker.close()


# --- the real model


def test_the_real_model_follows_a_grammar_at_any_temperature(smollm2_path):
    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_engine

    real, _ = load_engine({"model.gguf": smollm2_path}, EngineConfig(threads=1))
    requests = [
        Generate(
            id=f"{kind}-{temperature}",
            user_text="Describe a person, as JSON.",
            grammar=PERSON_GRAMMAR if kind == "person" else DATE,
            sampling=SamplingParams(temperature=temperature, max_tokens=120, n=1 if not temperature else 6, seed=1),
        )
        for kind in ("person", "date")
        for temperature in (0.0, 1.5)
    ]
    told = run(real, *requests)
    assert len(told) == 14
    for (id, _), deltas in told.items():
        assert deltas[-1].finish_reason == "stop"
        if id.startswith("person"):
            jsonschema.validate(json.loads(text_of(deltas)), PERSON)
        else:
            assert len(text_of(deltas)) == 10
    for request in requests:
        if not request.sampling.temperature:
            alone = run(real, request)
            assert tokens_of(alone[request.id, 0]) == tokens_of(told[request.id, 0])
