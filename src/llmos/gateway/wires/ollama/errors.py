"""The body of an error in Ollama's format."""

from llmos.core.errors import LLMOSError

_OWN_WORDS = {"max_tokens": "num_predict", "repetition_penalty": "repeat_penalty"}
"""What Ollama calls the fields that the engine names in its errors."""


def error_body(error: LLMOSError) -> dict[str, str]:
    """Return the error as Ollama's clients read it, with the fields called as they call them."""
    message = error.message
    for ours, theirs in _OWN_WORDS.items():
        message = message.replace(ours, theirs)
    return {"error": message}
