"""Chat requests: tools in the prompt in each model's format, and answers split into text, reasoning and calls."""

import pytest

from llmos.core.errors import BadRequest
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import Generate, Grammar, SamplingParams, Tools
from llmos.engine.text.chat import encode_chat_prompt
from llmos.engine.text.tokenizer import ChatTemplate
from llmos.engine.text.tools import detect_tool_format
from support.fakes import EOS, SPECIAL, FakeDetokenizer, FakeTokenizer, ScriptedRunner, run, text_of

CHATML = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|go|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
HERMES = (
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for call in m.tool_calls or [] %}"
    '{% if m.content or not loop.first %}{{ "\n" }}{% endif %}'
    '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|go|>{% endif %}"
)
LLAMA3 = (
    "{% if tools is not none %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|start_header_id|>{{ m.role }}"
    "<|end_header_id|>{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
    "{{ raise_exception('only single tool-calls') }}{% endif %}{% set call = m.tool_calls[0].function %}"
    '{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}{% else %}{{ m.content }}{% endif %}'
    "{% endfor %}"
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}{% endif %}{% for m in messages %}{% if m.tool_calls %}"
    "[TOOL_CALLS] [{% for call in m.tool_calls %}{% if call.id | length != 9 %}{{ raise_exception('nine') }}{% endif %}"
    '{"name": "{{ call.function.name }}", "id": "{{ call.id }}"}{% endfor %}]'
    "{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }} {{ m.tool_call_id }}{% else %}{{ m.content }}{% endif %}"
    "{% endfor %}"
)
GEMMA4 = (
    "{% for tool in tools or [] %}<|tool>declaration:{{ tool.function.name }}<tool|>{% endfor %}"
    "{% for m in messages %}<|turn>{{ m.role }}\n{% for call in m.tool_calls or [] %}"
    "<|tool_call>{{ 'call:' + call.function.name + '{' }}{% for key, value in call.function.arguments | dictsort %}"
    "{{ key }}:{{ '<|\"|>' + value + '<|\"|>' if value is string else value }}"
    "{% endfor %}}<tool_call|>{% endfor %}{{ m.content }}<turn|>\n{% endfor %}"
)
THINKING = (
    "{% if enable_thinking is defined and not enable_thinking %}{% set end = '<think>\n\n</think>\n\n' %}{% else %}"
    "{% set end = '<think>\n' %}{% endif %}{% for m in messages %}{{ m.content }}"
    "{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{% endfor %}<|go|>{{ end }}"
)

FUNCTIONS = [
    {"name": "clock", "description": "What time <|go|> is it?", "parameters": {"type": "object"}, "strict": False}
]
USER = {"role": "user", "content": "What time is it?"}


def call(id="call_1", **arguments):
    return {"id": id, "type": "function", "function": {"name": "clock", "arguments": arguments}}


def asks(*calls, content=None):
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(id="call_1", content="noon"):
    return {"role": "tool", "content": content, "tool_call_id": id}


class TemplateTokenizer(FakeTokenizer):
    """Byte tokens with a real chat template. Each string of `control` is one token, from 258 on."""

    def __init__(self, template, control=()):
        self._template = template
        self.control = {text: 258 + i for i, text in enumerate(control)}

    def template_text(self, *, with_tools=False):
        return self._template

    def encode_chat(self, messages, *, variables=None, add_generation_prompt=True, **_):
        rendered = ChatTemplate(self._template).render(
            messages=messages, add_generation_prompt=add_generation_prompt, **(variables or {})
        )
        return [SPECIAL, *rendered.encode(), 0]

    def decode(self, ids, *, skip_special=True):
        return super().decode([token for token in ids if token], skip_special=skip_special)

    def control_id(self, text):
        return self.control.get(text)

    def detokenizer(self, *, continues_prompt=False, visible_control=()):
        texts = {self.control[text]: text for text in visible_control if text in self.control}

        class WithControl(FakeDetokenizer):
            def push(self, token):
                return texts.get(token) or super().push(token)

        return WithControl()


def prompt_of(template, messages, functions=FUNCTIONS, **options):
    tools = Tools(functions=functions, **options) if functions else None
    tokenizer = TemplateTokenizer(template)
    chat = encode_chat_prompt(Generate(id="r", messages=messages, tools=tools), tokenizer)
    return tokenizer.decode(chat.tokens)


def test_the_tool_format_is_detected_from_the_template():
    names = {"hermes": HERMES, "llama3": LLAMA3, "mistral": MISTRAL, "gemma4": GEMMA4, "generic": CHATML}
    assert {name: type(detect_tool_format(template)).__name__.lower() for name, template in names.items()} == {
        name: name for name in names
    }
    assert type(detect_tool_format("{{ tools }} <tool_call> <function=f>")).__name__ == "Generic"
    assert type(detect_tool_format("{{ tools }} [TOOL_CALLS]f[ARGS]{}")).__name__ == "Generic"


def test_hermes_gets_tools_and_calls_unchanged():
    messages = [USER, asks(call(zone="Rome"), call("b"), content="Wait."), result(), result("b"), USER]
    prompt = prompt_of(HERMES, messages)
    assert prompt.startswith('<tools>{"type": "function", "function": {"name": "clock", "description": "What time')
    assert "strict" not in prompt
    assert (
        '<|assistant|>Wait.\n<tool_call>\n{"name": "clock", "arguments": {"zone": "Rome"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call><|tool|>noon<|tool|>noon<|user|>' in prompt
    )


def test_llama_gets_one_call_per_message():
    messages = [USER, asks(call("a", x=1), call("b", x=2)), result("b", "two"), result("a", "one"), USER]
    prompt = prompt_of(LLAMA3, messages)
    said = prompt.replace("<|start_header_id|>", "|").replace("<|end_header_id|>", ":")
    assert said.endswith(
        '|assistant:{"name": "clock", "parameters": {"x": 1}}|tool:one'
        '|assistant:{"name": "clock", "parameters": {"x": 2}}|tool:two|user:What time is it?'
    )


def test_mistral_gets_ids_of_nine_characters_that_match():
    prompt = prompt_of(
        MISTRAL, [USER, asks(call("call_1"), call("abcdefgh9")), result("abcdefgh9", "A"), result(content="B")]
    )
    calls, first, second = prompt.partition("[TOOL_CALLS] ")[2].replace("[TOOL_RESULTS]", "|").split("|")
    assert first == "A abcdefgh9"
    assert f'"id": "{second.removeprefix("B ")}"' in calls


def test_a_template_without_tools_gets_them_in_the_system_message():
    prompt = prompt_of(CHATML, [USER])
    assert prompt.startswith("<|system|>You may call one or more functions")
    assert '"name": "clock"' in prompt
    with_own = prompt_of(CHATML, [{"role": "system", "content": "Be brief."}, USER])
    assert with_own.startswith("<|system|>Be brief.\n\nYou may call")
    assert with_own.count("<|system|>") == 1


def test_calls_and_results_become_text_for_a_template_without_tools():
    messages = [USER, asks(call(zone="Rome"), call("b"), content="Wait."), result(), result("b", "one"), USER]
    assert prompt_of(CHATML, messages, functions=None) == (
        "<|user|>What time is it?<|assistant|>Wait.\n"
        '<tool_call>\n{"name": "clock", "arguments": {"zone": "Rome"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
        "<|user|><tool_response>\nnoon\n</tool_response>\n<tool_response>\none\n</tool_response>"
        "<|user|>What time is it?<|go|>"
    )


def test_a_template_that_rejects_system_messages_gets_the_tools_in_the_user_message():
    prompt = prompt_of(NO_SYSTEM, [USER])
    assert prompt.startswith("<|user|>You may call")
    assert prompt.endswith("</tool_call>\n\nWhat time is it?<|go|>")


def test_tools_with_the_choice_none_stay_out_of_the_prompt():
    for template in (CHATML, HERMES, LLAMA3, MISTRAL):
        assert "clock" not in prompt_of(template, [USER], choice="none")


def test_a_conversation_without_tools_is_unchanged():
    assert prompt_of(CHATML, [USER], functions=None) == "<|user|>What time is it?<|go|>"


# --- answers


def answer(template, says, *, control=(), messages=(USER,), **fields):
    """Run an engine whose model says this. Return text, reasoning, calls as (name, arguments), finish reason."""
    tokenizer = TemplateTokenizer(template, control)
    tokens = [*says.encode(), EOS] if isinstance(says, str) else says
    engine = Engine(ScriptedRunner(tokens, num_blocks=256, max_positions=4096), tokenizer, EngineConfig())
    request = Generate(
        id="r", messages=[*messages], sampling=SamplingParams(temperature=0, **fields.pop("sampling", {})), **fields
    )
    deltas = run(engine, request)[("r", 0)]
    calls = []
    for piece in (call for delta in deltas for call in delta.tool_calls):
        if piece.name:
            calls.append([piece.name, ""])
        calls[-1][1] += piece.arguments
    reasoning = "".join(delta.reasoning for delta in deltas)
    return text_of(deltas), reasoning, [tuple(each) for each in calls], deltas[-1].finish_reason


CALLED = '<tool_call>\n{"name": "clock", "arguments": {"zone": "Rome"}}\n</tool_call>'
ROME = ("clock", '{"zone": "Rome"}')
TOOLS = Tools(functions=FUNCTIONS)


@pytest.mark.process
def test_calls_are_parsed_out_of_the_answer():
    assert answer(CHATML, f"Wait.\n{CALLED}", tools=TOOLS) == (
        "Wait.",
        "",
        [("clock", '{"zone": "Rome"}')],
        "tool_calls",
    )
    assert answer(CHATML, "It is noon.", tools=TOOLS) == ("It is noon.", "", [], "stop")
    assert answer(CHATML, CALLED) == (CALLED, "", [], "stop")


@pytest.mark.process
def test_a_call_that_is_cut_off_does_not_end_with_tool_calls():
    cut = answer(CHATML, CALLED, tools=TOOLS, sampling={"max_tokens": 46})
    assert cut == ("", "", [("clock", '{"z')], "length")


@pytest.mark.process
@pytest.mark.parametrize("stop", ["Rome", "}", "\n", "<tool_call>\n", "call>\n", '"', "{"])
def test_a_stop_string_never_ends_an_answer_in_the_middle_of_a_call(stop):
    assert answer(CHATML, f"{CALLED}", tools=TOOLS, sampling={"stop": [stop]}) == ("", "", [ROME], "tool_calls")


@pytest.mark.process
def test_a_stop_string_ends_the_text_around_calls():
    assert answer(CHATML, f"Wait.\n{CALLED}", tools=TOOLS, sampling={"stop": ["."]}) == ("Wait", "", [], "stop")
    assert answer(CHATML, f"{CALLED}\nDone.", tools=TOOLS, sampling={"stop": ["one"]})[2:] == ([ROME], "tool_calls")
    assert answer(CHATML, f"{CALLED}", tools=TOOLS, sampling={"stop": ["<tool"]}) == ("", "", [], "stop")


@pytest.mark.process
def test_gemma4s_own_syntax_becomes_json():
    called = '<|tool_call>call:clock{zone:<|"|>Rome<|"|>}<tool_call|>'
    assert answer(GEMMA4, called, tools=TOOLS) == ("", "", [ROME], "tool_calls")
    assert answer(GEMMA4, f"Wait.\n{called * 2}", tools=TOOLS) == ("Wait.", "", [ROME, ROME], "tool_calls")
    cut = answer(GEMMA4, called, tools=TOOLS, sampling={"max_tokens": 34})
    assert cut == ("", "", [("clock", '{"zone": "R')], "length")
    assert answer(GEMMA4, called, tools=TOOLS, sampling={"max_tokens": 15}) == ("", "", [], "length")


def test_gemma4s_template_gets_earlier_calls_and_their_results():
    said = prompt_of(GEMMA4, [USER, asks(call(zone="Rome")), result()])
    assert "<|tool>declaration:clock<tool|>" in said
    assert '<|tool_call>call:clock{zone:<|"|>Rome<|"|>}<tool_call|>' in said
    assert "<|turn>tool\nnoon" in said


@pytest.mark.process
def test_a_call_that_a_stop_token_cuts_is_not_whole():
    cut = answer(CHATML, CALLED, tools=TOOLS, sampling={"stop_token_ids": [ord("R")]})
    assert cut == ("", "", [("clock", '{"zone": "')], "length")


@pytest.mark.process
def test_tags_may_be_control_tokens():
    says = [258, *b' [{"name": "clock", "arguments": {}}]', EOS]
    assert answer(MISTRAL, says, control=["[TOOL_CALLS]"], tools=TOOLS) == ("", "", [("clock", "{}")], "tool_calls")
    assert answer(MISTRAL, [*b"Hi", 258, EOS], control=["[TOOL_CALLS]"]) == ("Hi", "", [], "stop")


@pytest.mark.process
@pytest.mark.parametrize("choice", ["required", "named"])
def test_a_model_that_would_not_call_must(choice):
    tools = Tools(functions=FUNCTIONS, choice=choice, name="clock" if choice == "named" else None)
    _, _, calls, reason = answer(CHATML, "}" * 400, tools=tools, sampling={"max_tokens": 400})
    assert calls[0][0] == "clock"
    assert reason in ("tool_calls", "length")


@pytest.mark.process
@pytest.mark.parametrize("stop", [[], ["\n"]])
def test_an_answer_that_is_cut_inside_a_call_or_behind_one_has_no_text(stop):
    tools = Tools(functions=FUNCTIONS, choice="required")
    for max_tokens in (1, 12, 28, 34, 60, 75) if not stop else (60,):
        text, _, _, _ = answer(CHATML, "}" * 400, tools=tools, sampling={"max_tokens": max_tokens, "stop": stop})
        assert text == "", max_tokens


@pytest.mark.process
def test_reasoning_is_split_from_the_answer():
    assert answer(THINKING, "Hm.\n</think>\n\nNoon.") == ("Noon.", "Hm.", [], "stop")
    off = {"enable_thinking": False}
    assert answer(THINKING, "Noon.", template_options=off) == ("Noon.", "", [], "stop")
    assert answer(THINKING, "Noon.", template_options={"reasoning_effort": "none"}) == ("Noon.", "", [], "stop")
    assert answer(THINKING, f"Hm.</think>{CALLED}", tools=TOOLS) == (
        "",
        "Hm.",
        [("clock", '{"zone": "Rome"}')],
        "tool_calls",
    )


@pytest.mark.process
def test_a_constrained_answer_is_neither_reasoning_nor_a_call():
    assert answer(CHATML, '"a"', grammar=Grammar("choice", '["a", "b"]'))[0] in ("a", "b")


def test_a_reasoning_effort_that_the_template_does_not_have_is_ignored_and_said():
    for effort, ignored in (("high", ("reasoning_effort",)), ("none", ())):
        request = Generate(id="r", messages=[USER], template_options={"reasoning_effort": effort})
        assert encode_chat_prompt(request, TemplateTokenizer(CHATML)).ignored == ignored


NESTED = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}, "required": ["a"]}


@pytest.mark.process
@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"type": "string", "pattern": r"^\p{Nonsense}$"}, "#/properties/odd, its expression is invalid"),
        ({"type": "null", "enum": ["A"]}, "nothing matches it"),
        (
            {"patternProperties": {"^a": {"type": "null"}, "b$": {"type": "string"}}},
            "#/properties/odd/patternProperties",
        ),
        ({"enum": ["x" * 9000]}, "more than 8,192 characters"),
    ],
)
def test_a_tool_that_is_not_strict_never_fails_the_request_for_what_cannot_be_enforced(odd, reason):
    """These pass the preparation of schemas, and the grammar library rejects them."""
    engine = Engine(
        ScriptedRunner("x", num_blocks=1024, max_positions=16384), TemplateTokenizer(CHATML), EngineConfig()
    )
    schema = {"type": "object", "properties": {"nested": NESTED, "odd": odd}, "required": ["nested", "odd"]}
    functions = [*FUNCTIONS, {"name": "g", "parameters": schema}]
    request = Generate(id="r", messages=[USER], tools=Tools(functions=functions, choice="named", name="g"))
    prepared = engine.prepare(request)
    assert prepared.ignored
    assert all(name.startswith("tools[1].function.parameters") for name in prepared.ignored)
    matcher = prepared.sequences[0].matcher
    begins = '<tool_call>\n{"name": "g", "arguments": {"nested": '
    assert matcher.allowed_prefix([*begins.encode()]) == [*begins.encode()]
    functions[1] = {**functions[1], "strict": True}
    with pytest.raises(BadRequest) as caught:
        engine.prepare(request)
    assert caught.value.param == "tools[1].function.parameters"
    assert reason in caught.value.message
    assert "llguidance" not in caught.value.message


@pytest.mark.process
def test_what_is_not_enforced_of_a_tool_is_named():
    engine = Engine(ScriptedRunner("x", num_blocks=256, max_positions=4096), TemplateTokenizer(CHATML), EngineConfig())
    odd = {"type": "string", "pattern": r"(?<=a)b", "description": "d" * 20}
    function = {"name": "g", "parameters": {"type": "object", "properties": {"a": odd}}}
    prepared = engine.prepare(Generate(id="r", messages=[USER], tools=Tools(functions=[*FUNCTIONS, function])))
    assert prepared.ignored == ("tools[1].function.parameters.properties.a.pattern",)


@pytest.mark.process
def test_the_tool_with_an_invalid_schema_is_named():
    engine = Engine(ScriptedRunner("x", num_blocks=256, max_positions=4096), TemplateTokenizer(CHATML), EngineConfig())
    broken = {"name": "g", "parameters": {"type": "object", "properties": {"a": {"type": "strnig"}}}}
    with pytest.raises(BadRequest, match="JSON schema") as caught:
        engine.prepare(Generate(id="r", messages=[USER], tools=Tools(functions=[*FUNCTIONS, broken])))
    assert caught.value.param == "tools[1].function.parameters"
