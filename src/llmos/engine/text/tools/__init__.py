"""Tool calls: how they are rendered into a prompt and parsed out of an answer. One file for each model format.

A format is detected from the chat template's text. Nothing here knows tokens; the callers encode and decode.
"""

import re

from llmos.engine.text.tools.arguments import CallableFunction, callable_functions
from llmos.engine.text.tools.call_arguments import read_arguments
from llmos.engine.text.tools.call_grammar import tools_grammar
from llmos.engine.text.tools.formats import ToolFormat, call_parser
from llmos.engine.text.tools.gemma4 import GEMMA4
from llmos.engine.text.tools.generic import GENERIC
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.llama3 import LLAMA3
from llmos.engine.text.tools.mistral import MISTRAL
from llmos.engine.text.tools.parser import CallParser, Piece

__all__ = [
    "CallParser",
    "CallableFunction",
    "Piece",
    "ToolFormat",
    "call_parser",
    "callable_functions",
    "detect_tool_format",
    "read_arguments",
    "tools_grammar",
]

_TRAINED: tuple[ToolFormat, ...] = (HERMES, MISTRAL, LLAMA3, GEMMA4)
"""The formats that models are trained on."""


def detect_tool_format(template: str) -> ToolFormat:
    """Return the format that a chat template uses, the generic one if it has no tools or an unknown format."""
    if not re.search(r"\b(xml_)?tools\b", template):
        return GENERIC
    return next((tool_format for tool_format in _TRAINED if tool_format.matches(template)), GENERIC)
