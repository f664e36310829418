"""The answer of POST /api/generate."""

from llmos.gateway.wires.ollama.answers import OllamaAnswer


class OllamaText(OllamaAnswer, kw_only=True, omit_defaults=True):
    response: str
    thinking: str = ""
