"""Chat templates render as in transformers, and templates that would not end are stopped."""

import threading
from pathlib import Path

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from llmos.core.errors import BadModelFile, BadRequest, LLMOSError
from llmos.engine.text.tokenizer import ChatTemplate, Tokenizer

TEMPLATES = {path.stem: path.read_text() for path in (Path(__file__).parent / "templates").glob("*.jinja")}
"""Templates of four models, and one that uses everything else that templates may use."""

TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"s": {}}}}}
]


@pytest.mark.parametrize("name", ["smollm2", "llama3", "qwen3", "mistral", "odds_and_ends"])
def test_templates_render_as_in_transformers(name: str, conversations):
    source = TEMPLATES[name]
    variables = {"bos_token": "<s>", "eos_token": "</s>"}
    for messages in [
        *conversations,
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>b</think>c"}],
    ]:
        if name == "mistral" and messages[0]["role"] == "system":
            continue
        for add in (True, False):
            (expected,), _ = render_jinja_template(
                [messages], chat_template=source, add_generation_prompt=add, tools=TOOLS, **variables
            )
            ours = ChatTemplate(source).render(messages=messages, add_generation_prompt=add, tools=TOOLS, **variables)
            assert ours == expected


@pytest.mark.parametrize("name", ["smollm2", "llama3", "qwen3", "mistral"])
@pytest.mark.parametrize("begun", ["It is ", "e", "a\n\n"])
def test_a_continued_final_message_ends_where_it_does_in_transformers(gpt2, name: str, begun: str):
    template = TEMPLATES[name]
    messages = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": begun}]
    tokenizer = Tokenizer.from_gguf({**gpt2.metadata, "tokenizer.chat_template": template})
    tokens = gpt2.metadata["tokenizer.ggml.tokens"]
    variables = {f"{name}_token": tokens[gpt2.metadata[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos")}
    (expected,), _ = render_jinja_template([messages], chat_template=template, continue_final_message=True, **variables)
    assert (
        tokenizer.decode(tokenizer.encode_chat(messages, continue_final_message=True), skip_special=False) == expected
    )


def test_a_final_message_that_the_template_leaves_out_cannot_be_continued(gpt2):
    tokenizer = Tokenizer.from_gguf({**gpt2.metadata, "tokenizer.chat_template": "{{ messages[0].content }}"})
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(BadRequest, match="leaves out the last message"):
        tokenizer.encode_chat(messages, continue_final_message=True)


def test_a_template_rejects_messages_with_its_own_message():
    with pytest.raises(BadRequest, match="Only user and assistant roles are supported!") as caught:
        ChatTemplate(TEMPLATES["mistral"]).render(
            messages=[{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}], eos_token=""
        )
    assert caught.value.param == "messages"


def test_messages_that_the_template_fails_on_are_a_bad_request():
    with pytest.raises(BadRequest, match="TypeError"):
        ChatTemplate("{{ messages[0].content + 'x' }}").render(messages=[{"role": "user", "content": None}])


@pytest.mark.parametrize(
    "source", ["{% for %}", "{{ 'a' ", "{{ x|no_such_filter }}", "{% frobnicate %}", "{{ " + "(" * 5000]
)
def test_a_template_that_is_not_valid_jinja_is_a_bad_model_file(source: str):
    with pytest.raises(BadModelFile, match="chat template"):
        ChatTemplate(source)


def test_a_template_of_a_megabyte_is_a_bad_model_file():
    with pytest.raises(BadModelFile, match="the limit is"):
        ChatTemplate("x" * 2**20)


def test_a_model_without_a_template_says_so(gpt2):
    metadata = {key: value for key, value in gpt2.metadata.items() if key != "tokenizer.chat_template"}
    tokenizer = Tokenizer.from_gguf(metadata)
    assert not tokenizer.has_template
    with pytest.raises(BadRequest, match="no chat template"):
        tokenizer.encode_chat([{"role": "user", "content": "hi"}])


def shared(value: str, levels: int = 40) -> str:
    """Return a template for a list that contains a list twice, which contains another twice, …: small in memory, huge
    written out."""
    return "{% set a = " + value + " %}" + "{% set a = [a, a] %}" * levels


ENDLESS = {
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "doubling macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "loops in filters": "{% for i in range(99999) if range(99999)|select('eq', 7)|list %}{% endfor %}",
    "searches": "{% for i in range(99999) %}{% if 'x' in range(99999) %}{% endif %}{% endfor %}",
}
ENORMOUS = {
    "a long range": "{% for i in range(10**9) %}x{% endfor %}",
    "output without end": "{% for i in range(99999) %}{% for j in range(99999) %}y{% endfor %}{% endfor %}",
    "a repeated string": "{{ 'a' * 10**9 }}",
    "a repeated string, turned round": "{{ 10**9 * 'a' }}",
    "a repeated list": "{{ ([1] * 10**9)|length }}",
    "a power": "{{ 10**(10**8) }}",
    "products": "{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "a filter's width": "{{ 'a'|center(10**9) }}",
    "a method's width": "{{ 'a'.ljust(10**9) }}",
    "zeros": "{{ '1'.zfill(10**9) }}",
    "tabs": "{{ '\t'.expandtabs(10**9) }}",
    "a printf width": "{{ '%1000000000d' % 1 }}",
    "a printf width from outside": "{{ '%*d' % (10**9, 1) }}",
    "the format filter": "{{ '%1000000000d'|format(1) }}",
    "a format width": "{{ '{:>1000000000}'.format(1) }}",
    "a format width from outside": "{{ '{:{}}'.format(1, 10**9) }}",
    "a format of many": "{{ ('{0}' * 1000).format('x' * 100000) }}",
    "doubling by +": "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling by ~": "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "kept strings": "{% set n = namespace(l=1) %}{% for i in range(99) %}{% set n.l = [n.l, 'x' * 9**6] %}{% endfor %}",
    "a block of literals": "{% set x %}{% for i in range(99999) %}" + "y" * 50000 + "{% endfor %}{% endset %}",
    "a replacement": "{{ ('a' * 100000).replace('a', 'b' * 100000)|length }}",
    "a replacement filter": "{{ ('a' * 100000)|replace('a', 'b' * 100000)|length }}",
    "a join": "{{ ('a' * 100000).join(['b'] * 100000)|length }}",
    "a join filter": "{{ (['b' * 10000] * 100000)|join('x')|length }}",
    "indentation": "{{ ('a\n' * 100000)|indent(999)|length }}",
    "JSON indentation": "{{ [[1]]|tojson(indent=10**9) }}",
    "rounding": "{{ 5|round(-1000000000) }}",
    "a sum of lists": "{{ ([[1] * 100000] * 1000)|sum(start=[])|length }}",
    "a batch": "{{ [1]|batch(10**9, 'x')|list|length }}",
    "a date": "{{ strftime_now('%1000000000Y') }}",
    "a shared list, shown": shared("['x']") + "{{ a }}",
    "a shared list, as text": shared("['x']") + "{{ a|string|length }}",
    "a shared list, as JSON": shared("['x']") + "{{ a|tojson|length }}",
    "a shared list, joined on": shared("['x']") + "{{ (a ~ '')|length }}",
    "a shared list, compared": shared("['x']") + "{% set b = a %}" + shared("['x']") + "{{ a == b }}",
    "a shared list, searched": shared("['x']") + "{{ a in [a[0]] }}",
    "a shared list, sorted": shared("['x']") + "{{ [a, a]|sort }}",
    "a shared list, tested": shared("['x']") + "{{ a is eq(a) }}",
    "a shared list, formatted": shared("['x']") + "{{ '{}'.format(a) }}",
    "a shared list in a view": shared("['x']") + "{{ {'a': a}.items() }}",
    "a shared tuple, as a key": shared("('x',)").replace("[a, a]", "(a, a)") + "{{ {a: 1}|length }}",
    "a shared tuple, looked up": shared("('x',)").replace("[a, a]", "(a, a)") + "{{ {}.get(a) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "blocks in themselves": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
}  # fmt: skip


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_template_is_a_bad_request(source: str):
    with pytest.raises(BadRequest, match="took longer than"):
        ChatTemplate(source, time_limit_seconds=0.1).render(messages=[])


@pytest.mark.parametrize("source", ENORMOUS.values(), ids=ENORMOUS)
def test_a_template_that_produces_too_much_is_a_bad_request(source: str):
    with pytest.raises(BadRequest):
        ChatTemplate(source).render(messages=[])


def test_the_time_limit_holds_in_any_thread():
    caught: list[LLMOSError] = []

    def render() -> None:
        try:
            ChatTemplate(ENDLESS["nested loops"], time_limit_seconds=0.1).render(messages=[])
        except LLMOSError as error:
            caught.append(error)

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert "took longer" in caught[0].message


def test_a_prompt_may_be_as_long_as_its_messages_need():
    content = "word " * 1_000_000
    prompt = ChatTemplate(TEMPLATES["smollm2"]).render(
        messages=[{"role": "user", "content": content}], add_generation_prompt=True
    )
    assert content in prompt


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(x=1) }}",
        "{{ (5).to_bytes(10, 'big') }}",
        "{{ 'a'.encode() }}",
        "{{ namespace(__class__=1) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(source: str):
    messages = [{"role": "user", "content": "x"}]
    with pytest.raises(BadRequest):
        ChatTemplate(source).render(messages=messages)
    assert messages == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    "source",
    ["{{ ''|attr('__class__') }}", "{{ '{0.__class__}'.format(1) }}", "{{ lipsum }}", "{{ dict.__globals__ }}"],
)
def test_hidden_attributes_are_undefined(source: str):
    assert ChatTemplate(source).render(messages=[]) == ""


def test_warming_up_compiles_the_template_and_leaves_its_errors_to_the_chats(gpt2):
    sound = Tokenizer.from_gguf(gpt2.metadata | {"tokenizer.chat_template": "{{ messages[0].content }}"})
    sound.warm_up()
    assert "template" in vars(sound)
    broken = Tokenizer.from_gguf(gpt2.metadata | {"tokenizer.chat_template": "{% if %}"})
    broken.warm_up()
    with pytest.raises(BadModelFile, match="template cannot be used"):
        broken.encode_chat([{"role": "user", "content": "x"}])
