"""Nodes: the other machines that run replicas, live; a token for a further one, and the removal of one."""

from collections.abc import Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.forms import whole_number
from llmos.console.page import Fragments, Page
from llmos.console.view import View
from llmos.core.schemas.base import read_description
from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription

PAGE = Page(
    name="deployments", path="/deployments/nodes", permission="nodes:read", in_navigation=False, tab="nodes.title"
)

_API = "/llmos/v1/nodes"


@PAGE.get()
async def list_nodes(view: View) -> Response:
    return view.render(
        "nodes.html",
        nodes=await nodes_of(view),
        code=code.reading(
            "llmos cluster nodes", _API, "for node in client.nodes.list():\n    print(node.name, node.state)"
        ),
        token_code=code.changing(
            "POST",
            "llmos cluster token --minutes 15",
            f"{_API}/tokens",
            {"minutes": 15},
            "print(client.nodes.create_token(minutes=15).command)",
        ),
    )


@PAGE.live()
async def watch_nodes(view: View) -> Fragments:
    return {"nodes": view.html("nodes_list.html", nodes=await nodes_of(view))}


@PAGE.post("/token")
async def create_token(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/deployments/nodes"
    body = {"minutes": whole_number(view, form, "minutes", 15)}
    token = read_description(NodeTokenDescription, await view.api.post(f"{_API}/tokens", body))
    view.shown_path = "/deployments/nodes"
    return view.render("node_token.html", token=token)


@PAGE.post("/{name}/remove")
async def remove(view: View) -> Response:
    await view.form()
    name = view.request.path_params["name"]
    view.form_came_from = "/deployments/nodes"
    await view.api.delete(f"{_API}/{name}")
    return view.redirect(view.form_came_from, view.t("nodes.removed", name=name))


async def nodes_of(view: View) -> Sequence[NodeDescription]:
    """Return the nodes; none for a visitor who may not see them."""
    return await view.api.list(NodeDescription, _API) if view.may("nodes:read") else []
