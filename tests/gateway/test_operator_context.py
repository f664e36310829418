"""Parts that operators take from other rooms: the detectors of guardrails, and a real model's tokenizer."""

from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, ModelNotFound
from llmos.data.datasets import open_datasets
from llmos.data.datasets.rows import make_row
from llmos.data.operators.operator import Context, Span
from llmos.gateway.operator_context import operator_context
from llmos.models import open_registry
from support.operating import chat_row, operate, text_row


@pytest.fixture
def context(home: Path) -> Context:
    settings = load_settings({"LLMOS_HOME": str(home)})
    registry = open_registry(settings)
    return operator_context(registry, open_datasets(settings, registry.database).of())


def test_personal_data_is_what_the_guardrail_finds(context: Context) -> None:
    text = "Write to anna@example.com, or call +49 30 901820 today."
    assert context.personal_data(())(text) == [Span(9, 25, "email"), Span(35, 48, "phone")]
    assert context.personal_data(["phone"])(text) == [Span(35, 48, "phone")]
    (row,), _ = operate("personal_data", [chat_row(text, "Done.")], context, action="placeholder")
    assert row.texts[0] == "Write to [EMAIL_1], or call [PHONE_1] today."


def test_an_unknown_kind_of_personal_data_is_named(context: Context) -> None:
    with pytest.raises(BadRequest, match=r"The operator personal_data: .*'shoe_size'"):
        operate("personal_data", ["x"], context, kinds=["shoe_size"])


def test_tokens_are_those_of_the_models_own_template(context: Context) -> None:
    count = context.token_counter("smollm2")
    assert count(text_row("Hello there").content) == 2
    assert count(make_row("case", {"input": "Hello there", "expected": "Hello"}).content) == 3
    short, long = count(chat_row("Hi", "Hello!").content), count(chat_row("Hi", "Hello there!").content)
    assert long == short + 1 > 20, "a template writes more than the texts"
    preference = {
        "messages": [{"role": "user", "content": "Hi"}],
        "chosen": [{"role": "assistant", "content": "Hello!"}],
        "rejected": [{"role": "assistant", "content": "Hello there!"}],
    }
    assert count(make_row("preference", preference).content) == long


def test_a_model_that_there_is_not_is_named(context: Context) -> None:
    with pytest.raises(ModelNotFound, match="nobody"):
        operate("tokens", ["x"], context, model="nobody", most=3)
