"""Function tools, in the form that OpenAI's chat and responses share."""

from typing import Any, Literal

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.engine.messages import Tools
from llmos.gateway.http.requests import RequestObject

ToolChoice = Literal["auto", "required", "none", "named"]

ONLY_FUNCTIONS = "only function tools are supported. Define a function with one string parameter."


class FunctionDefinition(RequestObject, kw_only=True):
    name: str
    """1 to 64 letters, digits, _ and -."""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema that the arguments of every call follow. Without it, the function has no parameters."""
    strict: bool = False
    """Reject a schema with a keyword that can't be enforced, instead of ignoring the keyword."""


def make_tools(
    functions: list[dict[str, Any]], kind: ToolChoice, name: str | None, *, is_parallel: bool, name_field: str
) -> Tools | None:
    """Return validated functions as tools. Raises BadRequest for a choice that names none of them.

    `name_field`: the field that holds the name, for the error message.
    """
    if not functions:
        if kind in ("required", "named"):
            raise BadRequest("`tool_choice` requires a call, but there are no `tools`.", param="tool_choice")
        return None
    names = [function["name"] for function in functions]
    if name is not None and name not in names:
        advice = f"Did you mean {near[0]!r}?" if (near := nearest(name, names, limit=1)) else "Name one of `tools`."
        raise BadRequest(f"`tool_choice` names {name!r}, which is not one of the `tools`. {advice}", param=name_field)
    return Tools(functions=functions, choice=kind, name=name, is_parallel=is_parallel)


def to_function(definition: FunctionDefinition) -> dict[str, Any]:
    """Return the function in the form that engine.messages.Tools takes."""
    function: dict[str, Any] = {"name": definition.name}
    if definition.description is not None:
        function["description"] = definition.description
    no_parameters = {"type": "object", "properties": {}}
    return {
        **function,
        "parameters": no_parameters if definition.parameters is None else definition.parameters,
        "strict": definition.strict,
    }
