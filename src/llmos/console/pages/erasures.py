"""Forget: erase a person's data, and show the signed certificate of it."""

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.pages.keys import projects_of
from llmos.console.view import View
from llmos.core.errors import BadRequest, PermissionDenied
from llmos.core.schemas.base import read_description
from llmos.core.schemas.erasures import ErasureCertificate

PAGE = Page(
    name="settings", path="/settings/erasures", permission="erasures:write", in_navigation=False, tab="erasures.title"
)


@PAGE.get()
async def show_form(view: View) -> Response:
    if not view.may(PAGE.permission):
        raise PermissionDenied(view.t("erasures.denied"))
    return view.render("erasures.html", projects=await projects_of(view), code=_code("ann@example.com"))


@PAGE.post("/create")
async def erase(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/settings/erasures"
    subject, project = form.get("subject", ""), form.get("project", "")
    if not subject or form.get("again", "") != subject:
        raise BadRequest(view.t("erasures.not_again"))
    body = {"subject": subject, **({"project": project} if project else {})}
    made = await view.api.post("/llmos/v1/erasures", body)
    view.shown_path = "/settings/erasures"
    return view.render(
        "erasure.html",
        certificate=read_description(ErasureCertificate, made),
        raw=made,
        code=_code(subject),
    )


def _code(subject: str) -> code.Code:
    return code.changing(
        "POST",
        "llmos forget --subject ann@example.com",
        "/llmos/v1/erasures",
        {"subject": subject},
        f"print(client.erasures.forget({subject!r}).signature)",
    )
