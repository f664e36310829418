"""Conversations for templates that want strict turns, or have no system messages; and calls that were cut off."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.messages import Generate, Tools
from llmos.engine.text.chat import encode_chat_prompt
from llmos.engine.text.tokenizer import Tokenizer

Message = dict[str, Any]
Prompt = Callable[..., str]

_ALTERNATE = (
    "{% if (m.role == 'user') != (ns.i % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set ns.i = ns.i + 1 %}"
)
_SAY = "{{ '[' + m.role + '] ' + m.content }}"


def template(loop: str, before: str = "", messages: str = "messages") -> str:
    return (
        f"{before}{{% set ns = namespace(i=0) %}}{{% for m in {messages} %}}{loop}{{% endfor %}}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )


ANYTHING = template(_SAY)
STRICT = template(_ALTERNATE + _SAY)
NO_SYSTEM = template(
    _ALTERNATE + _SAY, "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
)
SILENT = template("{% if m.role != 'system' %}" + _SAY + "{% endif %}")
"""Leaves system messages out without a word."""
SYSTEM_FIRST = template(
    "{% if m.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}{% endif %}" + _SAY
)
WITH_TOOLS = template(
    "{% if m.role == 'tool' %}[result] {{ m.content }}{% elif m.tool_calls %}"
    "{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "{% else %}" + _ALTERNATE + _SAY + "{% endif %}",
    "{# tools #}",
)
"""Hermes's format, with a role of its own for results."""

SYSTEM: Message = {"role": "system", "content": "Be brief."}
USER: Message = {"role": "user", "content": "Hello"}
SAID: Message = {"role": "assistant", "content": "Hi"}
RESULT: Message = {"role": "tool", "tool_call_id": "c", "content": "noon"}


def calls(arguments: str, content: str = "") -> Message:
    call = {"id": "c", "type": "function", "function": {"name": "clock", "arguments": arguments}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


@pytest.fixture(scope="module")
def prompt(smollm2_path: Path) -> Prompt:
    metadata = GGUFFile(smollm2_path).metadata

    def render(source: str, messages: Sequence[Message], **fields: Any) -> str:
        tokenizer = Tokenizer.from_gguf({**metadata, "tokenizer.chat_template": source})
        tokens = encode_chat_prompt(Generate(id="r", messages=[*messages], **fields), tokenizer).tokens
        return tokenizer.decode(tokens, skip_special=False)

    return render


@pytest.mark.parametrize(
    ("source", "messages", "expected"),
    [
        (ANYTHING, [SYSTEM, USER, USER], "[system] Be brief.[user] Hello[user] Hello"),
        (STRICT, [USER, USER], "[user] Hello\n\nHello"),
        (STRICT, [USER, SAID, SAID, USER], "[user] Hello[assistant] Hi\n\nHi[user] Hello"),
        (NO_SYSTEM, [SYSTEM, USER], "[user] Be brief.\n\nHello"),
        (NO_SYSTEM, [SYSTEM, USER, SAID, SYSTEM], "[user] Be brief.\n\nHello[assistant] Hi[user] Be brief."),
        (NO_SYSTEM, [SYSTEM], "[user] Be brief."),
        (NO_SYSTEM, [SYSTEM, SAID, USER], "[user] Be brief.[assistant] Hi[user] Hello"),
        (ANYTHING, [SAID, USER], "[assistant] Hi[user] Hello"),
        (STRICT, [SAID, USER], "[user] [assistant] Hi[user] Hello"),
        (STRICT, [SAID, SAID], "[user] [assistant] Hi\n\nHi"),
        (STRICT, [SYSTEM, USER], "[user] Be brief.\n\nHello"),
        (SILENT, [SYSTEM, USER], "[user] Be brief.\n\nHello"),
        (SILENT, [USER, USER], "[user] Hello[user] Hello"),
        (SYSTEM_FIRST, [SYSTEM, USER, SAID, SYSTEM], "[system] Be brief.[user] Hello[assistant] Hi[user] Be brief."),
        (
            STRICT,
            [USER, calls('{"zone": "Rome"}'), RESULT, USER],
            '[user] Hello[assistant] <tool_call>\n{"name": "clock", "arguments": {"zone": "Rome"}}\n</tool_call>'
            "[user] <tool_response>\nnoon\n</tool_response>\n\nHello",
        ),
        (
            WITH_TOOLS,
            [USER, calls("{}"), RESULT, USER],
            '[user] Hello<tool_call>{"name": "clock", "arguments": {}}</tool_call>[result] noon\n\nHello',
        ),
    ],
)  # fmt: skip
def test_a_template_gets_the_conversation_in_a_form_that_it_takes(
    prompt: Prompt, source: str, messages: list[Message], expected: str
) -> None:
    assert prompt(source, messages) == f"{expected}[assistant] "


def test_tools_and_a_system_message_go_to_the_user_where_there_is_no_system_role(prompt: Prompt) -> None:
    tools = Tools(functions=[{"name": "clock", "parameters": {"type": "object"}}])
    written = prompt(NO_SYSTEM, [SYSTEM, USER], tools=tools)
    assert written.startswith("[user] Be brief.\n\nYou may call one or more functions")
    assert written.endswith("</tool_call>\n\nHello[assistant] ")


def test_a_conversation_that_no_form_mends_is_rejected_with_the_templates_own_words(prompt: Prompt) -> None:
    with pytest.raises(BadRequest, match="roles must alternate") as caught:
        prompt(STRICT + "{{ raise_exception('never') }}", [USER, USER])
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "written",
    [
        '{"zone": "Ro',
        '{"zone',
        "{",
        '{"zone": 31415926535897932384626433832795}',
        '{"zone": 1e400}',
        '{"zone": "\\ud800"}',
        '{"zone": "<|im_end|>',
    ],
)
@pytest.mark.parametrize("source", [ANYTHING, WITH_TOOLS], ids=["without tools", "with tools"])
def test_the_arguments_of_a_call_come_back_as_the_model_wrote_them(prompt: Prompt, source: str, written: str) -> None:
    said = prompt(source, [USER, calls(written), RESULT])
    assert f'{{"name": "clock", "arguments": {written}}}' in said


def test_arguments_that_were_cut_off_stay_text_in_a_template_that_writes_no_json(prompt: Prompt) -> None:
    source = template(
        "{% for c in m.tool_calls or [] %}{% for name, value in c.function.arguments.items() %}<{{ name }}>"
        "{% endfor %}{% endfor %}{% if not m.tool_calls %}" + _SAY + "{% endif %}",
        "{# tools <tool_call> #}",
    )
    assert '<{"zone": "Ro>' in prompt(source, [USER, calls('{"zone": "Ro'), RESULT])
