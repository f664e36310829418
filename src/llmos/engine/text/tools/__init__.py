"""Tools: how a model is told what it may call, and how its calls are read. One file for each format that models know.

Knows chat templates by what stands in them, and no tokens: these are the business of whoever encodes and decodes.
"""

import re

from llmos.engine.text.tools.call_grammar import schema_grammar, tools_grammar
from llmos.engine.text.tools.formats import ToolFormat, call_parser
from llmos.engine.text.tools.generic import GENERIC, without_system
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.llama3 import LLAMA3
from llmos.engine.text.tools.mistral import MISTRAL
from llmos.engine.text.tools.parser import CallParser, Piece

__all__ = [
    "CallParser",
    "Piece",
    "ToolFormat",
    "call_parser",
    "detect_tool_format",
    "schema_grammar",
    "tools_grammar",
    "without_system",
]

_OWN: tuple[ToolFormat, ...] = (HERMES, MISTRAL, LLAMA3)


def detect_tool_format(template: str) -> ToolFormat:
    """Return the format that the chat template teaches, the generic one where it knows no tools that we know."""
    if not re.search(r"\b(xml_)?tools\b", template):
        return GENERIC
    return next((tool_format for tool_format in _OWN if tool_format.matches(template)), GENERIC)
