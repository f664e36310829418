"""A model's chat template: messages -> prompt.

The template comes with the model, from anybody. It runs in a sandbox (sandbox.py), for a limited time, and makes
limited text; the names that it finds are those that transformers offers.
"""

from typing import Any

from llmos.core.errors import BadModelFile, BadRequest, LLMOSError
from llmos.engine.text.tokenizer.limits import Budget

MAX_TEMPLATE_LENGTH = 1 << 17
TIME_LIMIT_SECONDS = 2.0
"""Of the rendering thread's own time, so that a busy machine refuses nothing. Real templates take a millisecond."""
BASE_LENGTH = 1 << 20
"""Characters that a prompt may have beside the messages'."""


class ChatTemplate:
    def __init__(self, source: str, *, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        """Raises BadModelFile for a template that is too long or no Jinja."""
        if len(source) > MAX_TEMPLATE_LENGTH:
            raise BadModelFile(
                f"The chat template has {len(source):,} characters; at most {MAX_TEMPLATE_LENGTH:,} can be."
            )
        from llmos.engine.text.tokenizer.sandbox import Sandbox  # Jinja is slow to load, and many a request needs none

        self._time_limit_seconds = time_limit_seconds
        self._sandbox = Sandbox()
        try:
            with Budget(seconds=time_limit_seconds, max_length=BASE_LENGTH):
                self._template = self._sandbox.from_string(source)
        except Exception as error:  # a syntax error of Jinja's, or of the Python that Jinja makes of nonsense
            raise BadModelFile(f"The model's chat template cannot be used: {error}.") from None

    def render(self, **variables: Any) -> str:
        """Return the prompt. Raises BadRequest, with the template's own words, where it refuses the messages, fails,
        takes too long or makes too much text."""
        from jinja2 import TemplateError

        max_length = BASE_LENGTH + 8 * _length(variables)
        try:
            with Budget(seconds=self._time_limit_seconds, max_length=max_length):
                return self._template.render({"tools": None, "documents": None, **variables})
        except LLMOSError:
            raise
        except TemplateError as error:
            raise BadRequest(
                f"The model's chat template refuses these messages: {error.message}", param="messages"
            ) from None
        except Exception as error:
            raise BadRequest(
                f"The model's chat template cannot take these messages ({type(error).__name__}: {error!s:.200}).",
                param="messages",
            ) from None


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_length(key) + _length(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_length, value))
    return 16
