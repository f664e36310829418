"""A conversation on its way into a model and back: the prompt with its tools, the answer's text with its calls taken
out and its reasoning set apart. What a model was taught of these, its chat template tells."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest
from llmos.engine.messages import Generate, Grammar, ToolCallDelta, Tools
from llmos.engine.text.grammar import GrammarCompiler, GrammarMatcher
from llmos.engine.text.reasoning import ReasoningSplitter, ReasoningTags, detect_reasoning
from llmos.engine.text.tools import (
    CallParser,
    Piece,
    ToolFormat,
    call_parser,
    detect_tool_format,
    schema_grammar,
    tools_grammar,
    without_system,
)

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

SECONDS_TO_FIND_THE_TOOL = 3

_NUM_LAST_TOKENS = 16
"""Of the prompt, as many as an opening tag and the space behind it may have."""


@dataclass(frozen=True, slots=True)
class ParsedText:
    """What a piece of an answer's text adds."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


class AnswerParser:
    """Takes one answer's text in any pieces and tells reasoning, text and calls apart."""

    def __init__(self, reasoning: ReasoningSplitter | None, calls: CallParser | None) -> None:
        self._reasoning = reasoning
        self._calls = calls

    @property
    def has_tool_calls(self) -> bool:
        """It made calls, and all of them are whole."""
        return self._calls is not None and self._calls.num_calls > 0 and not self._calls.has_incomplete_call

    def push(self, text: str, *, is_last: bool) -> ParsedText:
        """Return what there is to tell; with `is_last`, also what was held back."""
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
            pieces += self._calls.finish()
        return _said(reasoning, pieces)


def _said(reasoning: str, pieces: Sequence[Piece]) -> ParsedText:
    return ParsedText(
        "".join([piece for piece in pieces if isinstance(piece, str)]),
        reasoning,
        tuple([piece for piece in pieces if not isinstance(piece, str)]),
    )


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation as the model gets it, and how its answer is to be read."""

    tokens: list[int]
    tool_format: ToolFormat | None
    """How the model tells its calls. None: it may not call."""
    tools: Tools | None
    reasoning: ReasoningTags | None
    is_reasoning_open: bool
    """The prompt has opened the reasoning already."""
    grammar: Grammar | None
    """What the answer must be."""

    @property
    def visible_control(self) -> tuple[str, ...]:
        """The strings that the reader must see, control tokens or not."""
        tags = (self.reasoning.opening, self.reasoning.closing) if self.reasoning else ()
        return (*(self.tool_format.tags if self.tool_format else ()), *tags)

    def parser(self) -> AnswerParser | None:
        """Return a reader of one answer: None where there is nothing to take out of it."""
        if self.grammar is not None and self.grammar.kind != "tools":
            # What must be of a tool_format is all text: no reasoning and no call can be in it.
            return None
        if self.tool_format is None and self.reasoning is None:
            return None
        return AnswerParser(
            ReasoningSplitter(self.reasoning, is_open=self.is_reasoning_open) if self.reasoning else None,
            call_parser(self.tool_format, self.tools) if self.tool_format and self.tools else None,
        )


def encode_chat_prompt(request: Generate, tokenizer: "Tokenizer") -> ChatPrompt:
    """Encode the request's messages. Raises BadRequest where the model takes none, or its template refuses them."""
    assert request.messages is not None
    template = tokenizer.template_text
    tool_format, reasoning = detect_tool_format(template), detect_reasoning(template)
    tools = request.tools if request.tools and request.tools.choice != "none" and request.tools.functions else None
    tokens = _encode(request, tool_format, tools, tokenizer)
    if request.continue_final_message:
        # What goes on in an answer that has begun is text: nobody knows what was opened before.
        reasoning = None
    end = tokenizer.decode(tokens[-_NUM_LAST_TOKENS:], skip_special=False) if reasoning else ""
    is_reasoning_open = reasoning is not None and reasoning.are_open_in(end)
    grammar = request.grammar
    if tools:
        grammar = tools_grammar(
            tool_format,
            tools,
            tokenizer.control_id,
            reasoning=reasoning,
            is_reasoning_open=is_reasoning_open,
            content=grammar,
        )
    return ChatPrompt(tokens, tool_format if tools else None, tools, reasoning, is_reasoning_open, grammar)


def compile_chat_grammar(chat: ChatPrompt, grammars: GrammarCompiler) -> GrammarMatcher | None:
    """Return what holds the answer to its grammar. Raises BadRequest, naming the tool whose schema can't be held to."""
    if chat.grammar is None:
        return None
    try:
        return grammars.compile(chat.grammar)
    except BadRequest:
        # Whose schema it is. Not for ever: others wait for this thread.
        until = time.monotonic() + SECONDS_TO_FIND_THE_TOOL
        for i, function in enumerate(chat.tools.functions if chat.tools else ()):
            if time.monotonic() > until:
                break
            grammars.compile(schema_grammar(function, f"tools[{i}].function.parameters"))
        raise


def _encode(request: Generate, tool_format: ToolFormat, tools: Tools | None, tokenizer: "Tokenizer") -> list[int]:
    messages = [_with_content(message) for message in request.messages or ()]
    variables = _with_effort(request.template_options, tokenizer.template_text)
    if taken := {"tools", "xml_tools"} & variables.keys():
        raise BadRequest(f"{taken.pop()} has a field of its own: send `tools`.", param="chat_template_kwargs")
    if tools or any(message.get("role") == "tool" or message.get("tool_calls") for message in messages):
        told, more = tool_format.render(messages, tools.functions if tools else [])
        variables = {**variables, **more}
    else:
        told = messages
    try:
        return tokenizer.encode_chat(told, variables=variables, continue_final_message=request.continue_final_message)
    except BadRequest:
        # Some templates know no system: what only we have put there can stand before what the user says.
        if not tools or messages[0].get("role") == "system" or told[0]["role"] != "system":
            raise
    return tokenizer.encode_chat(
        without_system(told), variables=variables, continue_final_message=request.continue_final_message
    )


def _with_effort(options: Mapping[str, Any], template: str) -> dict[str, Any]:
    """Say how much the model is to think in the words of its template."""
    options = dict(options)
    effort = options.get("reasoning_effort")
    if effort is None or re.search(r"\breasoning_effort\b", template):
        return options
    del options["reasoning_effort"]
    if re.search(r"\benable_thinking\b", template):
        options.setdefault("enable_thinking", effort != "none")
    elif effort != "none":
        raise BadRequest(
            f"`reasoning_effort` is {effort!r}, and the model's chat template takes no effort. Leave it out.",
            param="reasoning_effort",
        )
    return options


def _with_content(message: dict[str, Any]) -> dict[str, Any]:
    """Templates put texts together: an assistant that only calls says nothing."""
    if message.get("content") is None:
        message = {**message, "content": ""}
    if "tool_calls" in message and not message["tool_calls"]:
        message = {key: value for key, value in message.items() if key != "tool_calls"}
    return message
