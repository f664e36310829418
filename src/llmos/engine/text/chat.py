"""Chat requests: messages, tools and reasoning into prompt tokens, and an answer's text back into its parts.

What a model was trained on (its format for tool calls, its tags for reasoning) is detected from its chat template.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest
from llmos.engine.messages import Generate, Grammar, ToolCallDelta, Tools
from llmos.engine.text.chat_grammar import MakeGrammar, compile_tools_grammar
from llmos.engine.text.grammar import GrammarCompiler, GrammarMatcher
from llmos.engine.text.reasoning import ReasoningSplitter, ReasoningTags, detect_reasoning
from llmos.engine.text.tools import (
    CallableFunction,
    CallParser,
    Piece,
    ToolFormat,
    call_parser,
    callable_functions,
    detect_tool_format,
    read_arguments,
    tools_grammar,
)
from llmos.engine.text.turns import Message, encode_turns

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

_NUM_TAIL_TOKENS = 16
"""Tokens at the end of the prompt that are searched for an opening reasoning tag."""


@dataclass(frozen=True, slots=True)
class ParsedText:
    """A piece of an answer's text, split into its parts."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


class AnswerParser:
    """Splits the text of one answer, which may come in pieces of any length, into reasoning, text and tool calls."""

    def __init__(self, reasoning: ReasoningSplitter | None, calls: CallParser | None) -> None:
        self._reasoning = reasoning
        self._calls = calls

    @property
    def has_tool_calls(self) -> bool:
        """The answer has tool calls, and all of them are complete."""
        return self._calls is not None and self._calls.num_calls > 0 and not self._calls.has_incomplete_call

    @property
    def has_half_call(self) -> bool:
        """The answer has a call whose arguments are incomplete."""
        return self._calls is not None and self._calls.has_incomplete_call

    def calls_with(self, text: str, stop: str) -> bool:
        """Return whether the stop string behind `text` begins or ends inside a call, or what looks like one."""
        if self._calls is None:
            return False
        ahead = copy.deepcopy(self)
        ahead.push(text, is_last=False)
        begins_in_call = ahead._is_in_call
        ahead.push(stop, is_last=False)
        return begins_in_call or ahead._is_in_call

    @property
    def _is_in_call(self) -> bool:
        return self._calls is not None and self._calls.is_in_call

    def push(self, text: str, *, is_last: bool, is_cut: bool = False) -> ParsedText:
        """Add text. Return the parts that are certain by now; with `is_last`, all that remains.

        `is_cut`: the model had more to say.
        """
        reasoning = ""
        if self._reasoning is not None:
            reasoning, text = self._reasoning.push(text)
            if is_last:
                more, rest = self._reasoning.finish()
                reasoning, text = reasoning + more, text + rest
        if self._calls is None:
            return ParsedText(text, reasoning)
        pieces = self._calls.push(text)
        if is_last:
            pieces += self._calls.finish(is_cut=is_cut)
        return _parsed(reasoning, pieces)


def _parsed(reasoning: str, pieces: Sequence[Piece]) -> ParsedText:
    return ParsedText(
        "".join([piece for piece in pieces if isinstance(piece, str)]),
        reasoning,
        tuple([piece for piece in pieces if not isinstance(piece, str)]),
    )


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """The prompt of a chat request, and how to parse its answers."""

    tokens: list[int]
    tool_format: ToolFormat | None
    """The format of tool calls. None: the request allows no calls."""
    tools: Tools | None
    reasoning: ReasoningTags | None
    is_reasoning_open: bool
    """The prompt ends with an opening reasoning tag."""
    grammar: Grammar | None
    """The constraint on the answers."""
    ignored: tuple[str, ...] = ()
    """Fields of the request that the template has no use for."""
    functions: Sequence[CallableFunction] = ()
    """The functions that may be called."""
    make_grammar: MakeGrammar | None = None
    """Makes the constraint on answers with calls of these functions."""

    @property
    def visible_control(self) -> tuple[str, ...]:
        """The tags that the parser must see in the text, also if they are control tokens."""
        return _answer_tags(self.tool_format, self.reasoning)

    def parser(self) -> AnswerParser | None:
        """Return a parser for one answer, None if its text has no parts to split."""
        if self.grammar is not None and self.grammar.kind != "tools":
            # A constrained answer is all text: it can have neither reasoning nor calls.
            return None
        if self.tool_format is None and self.reasoning is None:
            return None
        return AnswerParser(
            ReasoningSplitter(self.reasoning, is_open=self.is_reasoning_open) if self.reasoning else None,
            call_parser(self.tool_format, self.tools) if self.tool_format and self.tools else None,
        )


def encode_chat_prompt(request: Generate, tokenizer: "Tokenizer", *, add_generation_prompt: bool = True) -> ChatPrompt:
    """Encode the messages of a request. Raises BadRequest if the model has no chat template, or it rejects them.

    `add_generation_prompt`: the prompt ends with what the template writes before an answer.
    """
    assert request.messages is not None
    tools = request.tools if request.tools and request.tools.choice != "none" and request.tools.functions else None
    template = tokenizer.template_text(with_tools=tools is not None)
    tool_format, reasoning = detect_tool_format(template), detect_reasoning(template)
    tags = _answer_tags(tool_format, reasoning)
    variables, ignored = _template_variables(request.template_options, template)
    encode = partial(
        tokenizer.encode_chat,
        add_generation_prompt=add_generation_prompt,
        continue_final_message=request.continue_final_message,
        answer_tags=tags,
        with_tools=tools is not None,
    )
    tokens = _encode(request, variables, tool_format, tools, tokenizer, encode)
    if request.continue_final_message:
        # The caller wrote the beginning of the answer, with or without reasoning: treat all of the answer as text.
        reasoning = None
    tail = tokenizer.decode(tokens[-_NUM_TAIL_TOKENS:], skip_special=False) if reasoning else ""
    is_reasoning_open = reasoning is not None and reasoning.are_open_in(tail)
    if tools is None:
        return ChatPrompt(tokens, None, None, reasoning, is_reasoning_open, request.grammar, ignored)
    functions = callable_functions(tools)
    make_grammar = partial(
        tools_grammar,
        tool_format,
        tools,
        tokenizer.control_id,
        reasoning=reasoning,
        is_reasoning_open=is_reasoning_open,
        content=request.grammar,
    )
    grammar = make_grammar(functions)
    return ChatPrompt(
        tokens,
        tool_format,
        tools,
        reasoning,
        is_reasoning_open,
        grammar,
        ignored,
        functions=functions,
        make_grammar=make_grammar,
    )


def compile_chat_grammar(chat: ChatPrompt, grammars: GrammarCompiler) -> tuple[GrammarMatcher | None, list[str]]:
    """Compile the grammar of a chat prompt. Return it, and the fields of the request that it doesn't enforce.

    Raises BadRequest, naming the tool whose schema is invalid.
    """
    if chat.make_grammar is not None:
        matcher, functions = compile_tools_grammar(chat.functions, chat.make_grammar, grammars)
        return matcher, [field for function in functions for field in function.dropped]
    return None if chat.grammar is None else grammars.compile(chat.grammar), []


def _answer_tags(tool_format: ToolFormat | None, reasoning: ReasoningTags | None) -> tuple[str, ...]:
    """Return the tags of calls and reasoning that the model writes in its answers."""
    calls = tool_format.tags if tool_format else ()
    return (*calls, *((reasoning.opening, reasoning.closing) if reasoning else ()))


def _encode(
    request: Generate,
    variables: Mapping[str, Any],
    tool_format: ToolFormat,
    tools: Tools | None,
    tokenizer: "Tokenizer",
    encode: Callable[..., list[int]],
) -> list[int]:
    messages = [_for_template(message) for message in request.messages or ()]
    if taken := {"tools", "xml_tools"} & variables.keys():
        raise BadRequest(f"{taken.pop()} has a field of its own: send `tools`.", param="chat_template_kwargs")
    if tools or any(message.get("role") == "tool" or message.get("tool_calls") for message in messages):
        rendered, more = tool_format.render(messages, tools.functions if tools else [])
        variables = {**variables, **more}
    else:
        rendered = messages
    return encode_turns(
        rendered,
        lambda form: encode(form, variables=variables),
        takes_system=lambda: tokenizer.takes_system_messages,
    )


def _template_variables(options: Mapping[str, Any], template: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the variables, with reasoning_effort as the template takes it, and the fields that it has no use for."""
    options = dict(options)
    effort = options.get("reasoning_effort")
    if effort is None or re.search(r"\breasoning_effort\b", template):
        return options, ()
    del options["reasoning_effort"]
    if re.search(r"\benable_thinking\b", template):
        options.setdefault("enable_thinking", effort != "none")
        return options, ()
    return options, () if effort == "none" else ("reasoning_effort",)


def _for_template(message: Message) -> Message:
    """Return the message with a content, since templates concatenate strings, and with arguments as objects."""
    if message.get("content") is None:
        message = {**message, "content": ""}
    if "tool_calls" in message:
        calls = message["tool_calls"]
        message = {key: value for key, value in message.items() if key != "tool_calls"}
        if calls:
            message["tool_calls"] = [_with_arguments(call) for call in calls]
    return message


def _with_arguments(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": read_arguments(function["arguments"])}}
