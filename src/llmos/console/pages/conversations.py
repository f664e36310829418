"""Conversations: those of the visitor, searched, renamed, removed and taken along. It needs no script."""

import json

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.view import View
from llmos.core.schemas.conversations import ConversationDetails, ConversationMessage, ConversationPage

PAGE = Page(name="chat", path="/chat/conversations", permission="conversations:use", in_navigation=False)


@PAGE.get()
async def list_conversations(view: View) -> Response:
    words, after = view.query("q")[:200], view.query("after")
    page = await view.api.read(ConversationPage, "/llmos/v1/conversations", q=words, after=after)
    return view.render(
        "conversations.html",
        page=page,
        words=words,
        after=after,
        code=code.reading(
            "llmos conversation list" + (f" {words!r}" if words else ""),
            "/llmos/v1/conversations",
            f"print(client.conversations.list({words!r}).data)",
        ),
    )


@PAGE.post("/{id}/rename")
async def rename(view: View) -> Response:
    form = await view.form()
    title = form.get("title", "").strip()[:200]
    await view.api.patch(_path(view), {"title": title})
    return view.redirect("/chat/conversations", view.t("conversations.was_renamed", title=title))


@PAGE.post("/{id}/remove")
async def remove(view: View) -> Response:
    await view.form()
    await view.api.delete(_path(view))
    return view.redirect("/chat/conversations", view.t("conversations.was_removed"))


@PAGE.get("/{id}/export")
async def export(view: View) -> Response:
    """The branch that was used last as Markdown, or all of it as JSON."""
    conversation = await view.api.read(ConversationDetails, _path(view))
    if view.query("format") == "json":
        text, kind, ending = json.dumps(conversation.raw, indent=2, ensure_ascii=False), "application/json", "json"
    else:
        text, kind, ending = _markdown(conversation), "text/markdown", "md"
    headers = {"Content-Disposition": f'attachment; filename="{conversation.id}.{ending}"'}
    return Response(text, 200, headers, f"{kind}; charset=utf-8")


def _markdown(conversation: ConversationDetails) -> str:
    parts = [f"# {conversation.title}"]
    if system := conversation.settings.get("system"):
        parts.append(f"## system\n\n{system}")
    parts += [f"## {each.message.get('role')}\n\n{_text_of(each)}" for each in branch_of(conversation)]
    return "\n\n".join(parts) + "\n"


def branch_of(conversation: ConversationDetails) -> list[ConversationMessage]:
    """Return the messages of the branch that was used last."""
    branch: list[ConversationMessage] = []
    at = conversation.leaf
    while at is not None:
        branch.insert(0, conversation.messages[at])
        at = conversation.messages[at].parent
    return branch


def _text_of(each: ConversationMessage) -> str:
    content = each.message.get("content")
    calls = [
        f"{call.get('function', {}).get('name')}({call.get('function', {}).get('arguments')})"
        for call in each.message.get("tool_calls") or ()
    ]
    return "\n\n".join([content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), *calls])


def _path(view: View) -> str:
    return f"/llmos/v1/conversations/{quote_path(view.request.path_params['id'])}"
