"""Faults of a request to score texts are said before anything is computed, naming the text; and what is scored
are the tokens that the texts have behind their prompt."""

import pytest
from msgspec.structs import replace

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.messages import AdapterFiles, Embed, Generate, Rate
from llmos.engine.rate_request import (
    MAX_CONTINUATION_CHARACTERS,
    MAX_CONTINUATION_TOKENS,
    MAX_CONTINUATIONS,
    prepare_rate,
)
from llmos.engine.text.tokenizer import Tokenizer
from support.fakes import FakeRunner, FakeTokenizer, make_engine
from support.rated import rate

QUESTION = [{"role": "user", "content": "Is the sky blue?"}]


@pytest.fixture(scope="module")
def smollm2(smollm2_path):
    return Tokenizer.from_gguf(GGUFFile(smollm2_path).metadata)


def prepared(command, tokenizer=None, context_length=512):
    tokenizer = tokenizer or FakeTokenizer()
    return prepare_rate(command, tokenizer, vocab_size=tokenizer.vocab_size, context_length=context_length)


def scored(command, tokenizer):
    """Return the tokens that are scored for each continuation."""
    tokens = {}
    request = prepared(command, tokenizer)
    for sequence in request.sequences:
        tokens |= dict(zip(sequence.scored.slots, sequence.scored.tokens, strict=True))
    return [[tokens[slot] for slot in slots] for slots in request.rating._continuations]


def refused(command, kind=BadRequest, **options):
    with pytest.raises(BadRequest) as error:
        prepared(command, **options)
    assert type(error.value) is kind
    return error.value.param, error.value.message


def test_nothing_to_score_is_refused():
    param, message = refused(rate())
    assert param == "continuations"
    assert message == (
        "There is nothing to score: `continuations` is empty. Send at least one, or ask for the prompt's scores."
    )


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_continuation_is_named(empty):
    assert refused(rate(continuations=["a", [1], "b", empty])) == (
        "continuations[3]", "`continuations[3]` is empty, so there is nothing to score. Send a text, or leave it out."
    )  # fmt: skip


def test_an_empty_prompt_is_refused():
    param, message = refused(rate(tokens=[], continuations=["a"]))
    assert (param, message[:20]) == ("prompt", "The prompt is empty,")


@pytest.mark.parametrize("token", [-1, 260])
def test_a_token_that_the_model_lacks_is_named(token):
    param, message = refused(rate(continuations=[[1], [2, token]]))
    assert param == "continuations[1]"
    assert message == f"`continuations[1]` has token {token}; the model's tokens are 0 to 259."


def test_a_continuation_over_the_context_says_by_how_much():
    assert prepared(rate(tokens=[1] * 12, continuations=[[1] * 500]))
    assert refused(rate(tokens=[1] * 12, continuations=[[1] * 500, [1] * 501]), PromptTooLong) == (
        "continuations[1]",
        "The prompt has 12 tokens and `continuations[1]` has 501, together 513; the model accepts 512. "
        "Shorten them by 1 tokens.",
    )


def test_a_prompt_over_the_context_says_by_how_much():
    assert prepared(rate(tokens=[1] * 512, scores_prompt=True))
    param, message = refused(rate(tokens=[1] * 520, scores_prompt=True), PromptTooLong)
    assert (param, message) == (
        "prompt", "The prompt has 520 tokens; the model accepts 512. Shorten it by 8 tokens."
    )  # fmt: skip


def test_a_text_that_is_far_too_long_is_not_encoded():
    param, message = refused(rate(continuations=["a", "b" * 100_000]), PromptTooLong)
    assert param == "continuations[1]"
    assert message.startswith("`continuations[1]` has more than 4,096 tokens; the model accepts 512.")


def test_ten_thousand_options_are_over_a_named_limit():
    assert MAX_CONTINUATIONS == 1000
    assert refused(rate(continuations=["a"] * 10_000)) == (
        "continuations",
        "`continuations` has 10,000 entries; a request takes up to 1,000. "
        "Send the others in further requests: the prompt is cached.",
    )


def test_the_length_of_all_texts_is_limited():
    param, message = refused(rate(continuations=[[1] * 500] * 100))
    assert param == "continuations"
    assert message.startswith("The continuations have 50,000 tokens together; a request takes up to 32,768.")
    assert MAX_CONTINUATION_TOKENS == 32_768
    many = rate(continuations=["x" * 1000] * (MAX_CONTINUATION_CHARACTERS // 1000 + 1))
    assert refused(many, context_length=100_000)[1].startswith("The continuations have 525,000 characters together;")


def test_a_priority_out_of_range_is_refused():
    assert refused(rate(continuations=["a"], priority=101))[0] == "priority"


def test_what_only_answers_need_has_no_effect():
    request = Generate(id="r", tokens=[1] * 512, echo=True)
    assert prepared(Rate(request=request, scores_prompt=True)).num_prompt_tokens == 512


def test_a_model_that_makes_text_makes_no_embeddings_and_the_reverse_is_said_of_scores():
    with pytest.raises(BadRequest, match="Use an embedding model"):
        make_engine().prepare(Embed(id="e", inputs=["a"]))


def test_an_adapter_has_prefixes_of_its_own():
    adapter = AdapterFiles("digest", {})
    command = rate(continuations=[[1]], cache_salt="s")
    assert prepared(command).sequences[0].salt == "s"
    prepared_with = prepared(replace(command, request=replace(command.request, adapter=adapter)))
    assert prepared_with.sequences[0].salt == "digest\ns"
    assert prepared_with.adapter == adapter


def test_preparing_computes_nothing():
    runner = FakeRunner()
    make_engine(runner).prepare(rate(continuations=["abc"]))
    assert runner.num_positions == 0


# --- tokens


def test_a_text_behind_a_text_is_read_with_it(smollm2):
    command = Rate(request=Generate(id="r", text="The capital of"), continuations=[" France", [1, 2], " Mali."])
    assert scored(command, smollm2) == [smollm2.encode(" France"), [1, 2], smollm2.encode(" Mali.")]
    param, message = refused(replace(command, continuations=[[1], "ten"]), tokenizer=smollm2)
    assert param == "continuations[1]"
    assert "together they read […' often'], apart […' of', 'ten']." in message


def test_a_text_behind_tokens_begins_anew(smollm2):
    tokens = smollm2.encode("The capital of Fra")
    command = Rate(request=Generate(id="r", tokens=tokens), continuations=["nce"])
    assert scored(command, smollm2) == [smollm2.encode("nce")]


def test_an_answer_begins_behind_the_template(smollm2):
    command = Rate(request=Generate(id="r", messages=QUESTION), continuations=["Yes", "\nNo", "<|im_end|>"])
    yes, no, end = scored(command, smollm2)
    assert (yes, no) == (smollm2.encode("Yes"), smollm2.encode("\nNo"))
    assert smollm2.control_ids.isdisjoint(end)
    assert smollm2.decode(end, skip_special=False) == "<|im_end|>"
    user_text = Rate(request=Generate(id="r", user_text=QUESTION[0]["content"]), continuations=["Yes"])
    assert scored(user_text, smollm2) == [yes]
    assert prepared(user_text, smollm2).num_prompt_tokens == prepared(command, smollm2).num_prompt_tokens


def test_a_message_that_goes_on_is_read_with_its_continuation(smollm2):
    messages = [*QUESTION, {"role": "assistant", "content": "It is blue and wh"}]
    request = Generate(id="r", messages=messages, continue_final_message=True)
    assert scored(Rate(request=request, continuations=[" x"]), smollm2) == [smollm2.encode(" x")]
    assert refused(Rate(request=request, continuations=["ite"]), tokenizer=smollm2)[0] == "continuations[0]"


@pytest.mark.parametrize("between", ["", " "])
def test_an_answer_begins_with_the_space_that_its_template_writes_before_it(smollm2, between):
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        f"{{% else %}}{{{{ '{between}' + m.content }}}}<|im_end|>{{% endif %}}{{% endfor %}}"
    )
    command = Rate(request=Generate(id="r", messages=QUESTION), continuations=["Yes"])
    assert scored(command, smollm2.with_template(template)) == [smollm2.encode(f"{between}Yes")]


def test_a_text_behind_a_gap_begins_anew():
    class Infilling(FakeTokenizer):
        def encode_infill(self, prefix, suffix):
            return [257, *prefix.encode(), 258, *suffix.encode(), 259]

    command = Rate(request=Generate(id="r", text="a", suffix="b"), continuations=["c"])
    assert scored(command, Infilling()) == [[ord("c")]]
