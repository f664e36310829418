"""Prompts: every version, its text and variables, and what differs from another version."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.base import read_description
from llmos.core.schemas.prompts import PromptDescription, PromptDetails, PromptDifference, RenderedPrompt

PAGE = Page(name="apps", path="/prompts", permission="prompts:read", in_navigation=False, tab="prompts.title")

_COLUMNS: Sequence[Column[PromptDescription]] = (
    Column(
        name="version",
        title="models.version",
        value=lambda row: row.version,
        link=lambda row: f"/prompts/{row.version}",
    ),
    Column(name="variables", title="prompts.variables", value=lambda row: ", ".join(row.variables)),
    Column(name="num_characters", title="prompts.characters", value=lambda row: row.num_characters, kind="number"),
    Column(name="source", title="prompts.source", value=lambda row: row.source),
    Column(name="created_at", title="projects.created", value=lambda row: row.created_at, kind="time"),
)


@PAGE.get()
async def list_prompts(view: View) -> Response:
    prompts = await view.api.list(PromptDescription, "/llmos/v1/prompts")
    table = Table(view, "prompts", _COLUMNS, prompts, empty="prompts.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "prompts.html",
        table=table,
        code=code.reading(
            "llmos prompt list",
            "/llmos/v1/prompts",
            "for each in client.prompts.list():\n    print(each.version, each.variables)",
        ),
    )


@PAGE.post("/create")
async def create(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/prompts"
    body = {"name": form.get("name", "").strip(), "text": form.get("text", "").replace("\r\n", "\n")}
    made = await view.api.post("/llmos/v1/prompts", body)
    return view.redirect(f"/prompts/{made['version']}", view.t("prompts.made", version=made["version"]))


@PAGE.get("/{ref}")
async def show_prompt(view: View) -> Response:
    return await _show(view, view.request.path_params["ref"])


@PAGE.post("/{ref}/fill")
async def fill(view: View) -> Response:
    """Show the prompt with its variables filled in. Nothing is kept."""
    form, ref = await view.form(), view.request.path_params["ref"]
    view.shown_path = view.form_came_from = f"/prompts/{ref}"
    given = {name.removeprefix("var."): text for name, text in form.items() if name.startswith("var.") and text}
    variables = {name: _typed(form.get(f"type.{name}", ""), text) for name, text in given.items()}
    try:
        body = await view.api.post(f"/llmos/v1/prompts/{ref}/render", {"variables": variables})
    except BadRequest as error:
        return await _show(view, ref, given, problem=error.message)
    return await _show(view, ref, given, filled=read_description(RenderedPrompt, body).text)


@PAGE.post("/{ref}/remove")
async def remove(view: View) -> Response:
    await view.form()
    ref = view.request.path_params["ref"]
    view.form_came_from = f"/prompts/{ref}"
    await view.api.delete(f"/llmos/v1/prompts/{ref}")
    return view.redirect("/prompts", view.t("prompts.removed", version=ref))


async def _show(
    view: View, ref: str, values: Mapping[str, str] = {}, *, filled: str | None = None, problem: str = ""
) -> Response:
    prompt = await view.api.read(PromptDetails, f"/llmos/v1/prompts/{ref}")
    other, difference = view.query("to"), None
    if other:
        difference = await view.api.read(PromptDifference, f"/llmos/v1/prompts/{prompt.version}/diff", to=other)
    return view.render(
        "prompt.html",
        prompt=prompt,
        other=other,
        difference=difference,
        values=values,
        filled=filled,
        problem=problem,
        code=code.reading(
            f"llmos prompt show {prompt.version}",
            f"/llmos/v1/prompts/{quote_path(prompt.version)}",
            f'print(client.prompts.get("{prompt.version}").text)',
        ),
    )


def _typed(kind: str, text: str) -> object:
    """Return what the form has as the type of the variable; as it is, where that can't be."""
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if kind == "integer" else float(text) if kind == "number" else text
    except ValueError:
        return text
