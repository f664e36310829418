"""Encryption: where the keys are, how much is encrypted, and new keys."""

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.pages.keys import projects_of
from llmos.console.view import View
from llmos.core.schemas.encryption import EncryptionDescription

PAGE = Page(
    name="settings",
    path="/settings/encryption",
    permission="encryption:read",
    in_navigation=False,
    tab="encryption.title",
)


@PAGE.get()
async def show_encryption(view: View) -> Response:
    return view.render(
        "encryption.html",
        state=await view.api.read(EncryptionDescription, "/llmos/v1/encryption"),
        projects=await projects_of(view),
        code=code.reading("llmos encryption status", "/llmos/v1/encryption", "print(client.encryption.status())"),
    )


@PAGE.post("/rotate")
async def rotate(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/settings/encryption"
    project = form.get("project", "")
    made = await view.api.post("/llmos/v1/encryption/rotate", {"project": project} if project else {})
    return view.redirect(view.form_came_from, view.t("encryption.rotated", number=made["num_keys"]))


@PAGE.post("/encrypt")
async def encrypt(view: View) -> Response:
    await view.form()
    view.form_came_from = "/settings/encryption"
    await view.api.post("/llmos/v1/encryption/encrypt")
    return view.redirect(view.form_came_from, view.t("encryption.encrypted"))
