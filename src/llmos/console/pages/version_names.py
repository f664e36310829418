"""Aliases, descriptions and tags of versions: the forms that datasets and knowledge have alike."""

from starlette.responses import Response

from llmos.console.forms import changed_labels
from llmos.console.page import Page
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.labels import LabelsDescription


def register(page: Page, noun: str) -> None:
    """Let `page` set and remove aliases, and describe and tag versions. `noun`: the path of the versions in the API."""

    async def set_alias(view: View) -> Response:
        form, ref = await view.form(), view.request.path_params["ref"]
        view.form_came_from = f"{page.root}/{ref}"
        alias, name = form.get("alias", "").strip(), ref.partition("@")[0]
        if not alias:
            raise BadRequest(view.t("versions.no_alias_name"))
        await view.api.put(f"/llmos/v1/{noun}/{name}/aliases/{alias}", {"version": ref})
        return view.redirect(view.form_came_from, view.t("versions.alias_set", alias=f"{name}:{alias}", ref=ref))

    async def remove_alias(view: View) -> Response:
        form, ref = await view.form(), view.request.path_params["ref"]
        view.form_came_from = f"{page.root}/{ref}"
        alias, name = form.get("alias", "").rpartition(":")[2], ref.partition("@")[0]
        await view.api.delete(f"/llmos/v1/{noun}/{name}/aliases/{alias}")
        return view.redirect(view.form_came_from, view.t("versions.alias_removed", alias=f"{name}:{alias}"))

    async def describe(view: View) -> Response:
        form, ref = await view.form(), view.request.path_params["ref"]
        view.form_came_from = f"{page.root}/{ref}"
        before = await view.api.read(LabelsDescription, f"/llmos/v1/{noun}/{ref}/labels")
        await view.api.patch(f"/llmos/v1/{noun}/{ref}/labels", changed_labels(form, before.tags))
        return view.redirect(view.form_came_from, view.t("versions.described", ref=ref))

    page.post("/{ref}/alias")(set_alias)
    page.post("/{ref}/alias/remove")(remove_alias)
    page.post("/{ref}/describe")(describe)
