"""A model's chat template: messages -> prompt.

The template comes with the model and is untrusted. It runs in a sandbox (sandbox.py) with limits on time and on the
size of its output. The names in it are those that transformers provides.
"""

from typing import Any

from llmos.core.errors import BadModelFile, BadRequest, LLMOSError
from llmos.engine.text.tokenizer.limits import Budget

MAX_TEMPLATE_LENGTH = 1 << 17
TIME_LIMIT_SECONDS = 2.0
"""CPU time of the rendering thread, which doesn't depend on other load. Real templates take a millisecond."""
BASE_LENGTH = 1 << 20
"""Characters that a prompt may have in addition to those of its messages."""


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str, *, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        """Compile the template. Raises BadModelFile for one that is too long or not valid Jinja."""
        if len(source) > MAX_TEMPLATE_LENGTH:
            raise BadModelFile(
                f"The chat template has {len(source):,} characters; the limit is {MAX_TEMPLATE_LENGTH:,}."
            )
        from llmos.engine.text.tokenizer.sandbox import Sandbox  # Jinja is slow to import, and many requests need none

        self._time_limit_seconds = time_limit_seconds
        self._sandbox = Sandbox()
        try:
            with Budget(seconds=time_limit_seconds, max_length=BASE_LENGTH):
                self._template = self._sandbox.from_string(source)
        except Exception as error:  # an error of Jinja, or of the Python code that it generates
            raise BadModelFile(f"The model's chat template cannot be used: {error}.") from None

    def render(self, **variables: Any) -> str:
        """Return the prompt.

        Raises BadRequest where the template rejects the messages (with its own message), fails, takes too long or
        produces too much text.
        """
        from jinja2 import TemplateError

        max_length = BASE_LENGTH + 8 * _length(variables)
        try:
            with Budget(seconds=self._time_limit_seconds, max_length=max_length):
                return self._template.render({"tools": None, "documents": None, **variables})
        except LLMOSError:
            raise
        except TemplateError as error:
            raise BadRequest(
                f"The model's chat template rejects these messages: {error.message}", param="messages"
            ) from None
        except Exception as error:
            raise BadRequest(
                f"The model's chat template fails on these messages ({type(error).__name__}: {error!s:.200}).",
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
