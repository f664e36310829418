"""The request of POST /api/chat."""

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import field

from llmos.engine.messages import Tools
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_functions
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.wires.ollama.chat.messages import OllamaMessage, to_template
from llmos.gateway.wires.ollama.fields import OPTION_NAMES, GenerateFields, strip_latest
from llmos.security.callers import Caller


class OllamaFunction(RequestObject, kw_only=True):
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    """A JSON schema."""
    strict: bool = False


class OllamaTool(RequestObject, kw_only=True):
    function: OllamaFunction
    type: Literal["function"] = "function"

    harmless = frozenset({"items"})
    objects: ClassVar = {"function": OllamaFunction}


class OllamaChatRequest(GenerateFields, kw_only=True):
    messages: list[OllamaMessage] = field(default_factory=list)
    """Without messages, the model is loaded, or unloaded if keep_alive is 0."""
    tools: list[OllamaTool] = field(default_factory=list)

    lists: ClassVar = {"messages": OllamaMessage, "tools": OllamaTool}

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        functions = [msgspec.to_builtins(tool.function) for tool in self.tools]
        check_functions(functions)
        return Call(
            model=strip_latest(self.model),
            prompts=[Prompt(messages=to_template(self.messages), continues=self._continues)],
            sampling=self.sampling(),
            grammar=self.grammar(),
            tools=Tools(functions=functions) if functions else None,
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            field_names=FieldNames(OPTION_NAMES),
            id_prefix="ollama",
        )

    @property
    def _continues(self) -> bool:
        """True if the last message is the assistant's, which the model then continues."""
        return self.messages[-1].role == "assistant" and not self.messages[-1].tool_calls
