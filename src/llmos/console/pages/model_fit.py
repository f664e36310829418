"""Fit: the bytes that a Version needs before it is loaded, and its deployment with these limits."""

from dataclasses import dataclass

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.forms import whole_number
from llmos.console.page import Page
from llmos.console.view import View
from llmos.core.errors import BadRequest, InsufficientMemory
from llmos.core.schemas.fit import FitDescription

PAGE = Page(name="models", path="/models", permission="models:read", in_navigation=False, home="/models")

_PARTS = ("weights", "kv", "states", "workspace", "process")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the memory, as a piece of a bar that is 100 wide."""

    name: str
    bytes: int
    left: float
    width: float


@PAGE.get("/{ref}/fit")
async def show_fit(view: View) -> Response:
    ref = view.request.path_params["ref"]
    query = view.request.query_params
    context, streams = whole_number(view, query, "context", 0), whole_number(view, query, "streams", 0)
    fit, problem = None, ""
    try:
        fit = await view.api.read(
            FitDescription, f"/llmos/v1/models/{ref}/fit", context=context or None, streams=streams or None
        )
    except (BadRequest, InsufficientMemory) as error:
        problem = error.message
    asked = [("context", context), ("streams", streams)]
    given = "&".join(f"{name}={value}" for name, value in asked if value)
    python = "".join(f", {name}={value}" for name, value in asked if value)
    return view.render(
        "model_fit.html",
        ref=ref,
        fit=fit,
        problem=problem,
        context=context,
        streams=streams,
        memory=_parts(fit) if fit else [],
        may_deploy=view.may("deployments:write"),
        code=code.reading(
            f"llmos fit {ref}" + "".join(f" --{name} {value}" for name, value in asked if value),
            f"/llmos/v1/models/{quote_path(ref)}/fit{given and '?'}{given}",
            f'print(client.models.fit("{ref}"{python}).sentence)',
        ),
    )


def _parts(fit: FitDescription) -> list[Part]:
    """Return the parts of the bar, whose whole width is what is free or, if that is more, what is needed."""
    whole, left, parts = max(fit.bytes.total, fit.bytes.available, 1), 0.0, []
    for name in _PARTS:
        if size := getattr(fit.bytes, name):
            width = 100 * size / whole
            parts.append(Part(name, size, round(left, 3), round(width, 3)))
            left += width
    return parts
