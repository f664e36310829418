"""Tools: how a model is told what it may call, and how its calls are read. One file for each format that models know.

Knows chat templates by what stands in them, and no tokens: these are the business of whoever encodes and decodes.
"""

import re

from llmos.engine.text.tools.formats import Format, call_parser
from llmos.engine.text.tools.generic import GENERIC, without_system
from llmos.engine.text.tools.grammar import schema_grammar, tools_grammar
from llmos.engine.text.tools.hermes import HERMES
from llmos.engine.text.tools.llama3 import LLAMA3
from llmos.engine.text.tools.mistral import MISTRAL
from llmos.engine.text.tools.parser import CallParser, Piece

__all__ = [
    "CallParser",
    "Format",
    "Piece",
    "call_parser",
    "find_format",
    "schema_grammar",
    "tools_grammar",
    "without_system",
]

_OWN: tuple[Format, ...] = (HERMES, MISTRAL, LLAMA3)


def find_format(template: str) -> Format:
    """Return the format that the chat template teaches, the generic one where it knows no tools that we know."""
    if not re.search(r"\b(xml_)?tools\b", template):
        return GENERIC
    return next((form for form in _OWN if form.is_of(template)), GENERIC)
