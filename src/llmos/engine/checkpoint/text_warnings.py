"""Remarks about a tokenizer and a chat template with which a model runs, but not as its user may expect."""

from typing import TYPE_CHECKING

from llmos.core.errors import LLMOSError

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer


def text_warnings(tokenizer: "Tokenizer") -> tuple[str, ...]:
    """Return the remarks, in sentences."""
    warnings = list(tokenizer.warnings)
    if tokenizer.has_template and (problem := _template_problem(tokenizer)) is not None:
        warnings.append(f"{problem.rstrip('.')}. Such chats are refused; plain prompts work.")
    return tuple(warnings)


def _template_problem(tokenizer: "Tokenizer") -> str | None:
    """Return what is wrong with the chat template, None if it renders a message of a user."""
    try:
        tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
    except LLMOSError as error:
        return error.message
    return None
