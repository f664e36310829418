"""The calls about prompts and applications, with both clients: what they send, and what they make of the replies."""

from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from support.app_folders import app_archive, app_files, write_app

PROMPT = {"name": "support", "version": "support@1", "text": "You help {{shop}}.", "types": {"shop": {"max_length": 9}}}
APP = {"name": "support", "version": "support@1", "files": [{"name": "app.yaml", "size_bytes": 7}]}


def asked(server: Any) -> list[tuple[str, str, Any]]:
    return [(each.method, each.path, each.body) for each in server.received]


def test_a_prompt_is_made_read_and_filled_in(connect: Any, server: Any) -> None:
    server.replies(
        server.json(PROMPT),
        server.json(PROMPT),
        server.json({"version": "support@1", "text": "You help Acme.", "variables": {"shop": "Acme"}}),
        server.json({"older": "support@1", "newer": "support@2", "lines": ["-a", "+b"]}),
        server.json({"versions": ["support@1"]}),
    )
    prompts = connect().prompts
    assert prompts.create("support", PROMPT["text"], variables={"shop": {"max_length": 9}}).version == "support@1"
    assert prompts.get("support:prod").types["shop"].max_length == 9
    assert prompts.render("support", {"shop": "Acme"}).text == "You help Acme."
    assert prompts.diff("support@1", "support@2").lines == ["-a", "+b"]
    assert prompts.remove("support").versions == ["support@1"]
    root = "/llmos/v1/prompts"
    made = {"name": "support", "text": PROMPT["text"], "variables": {"shop": {"max_length": 9}}}
    assert asked(server) == [
        ("POST", root, made),
        ("GET", f"{root}/support:prod", None),
        ("POST", f"{root}/support/render", {"variables": {"shop": "Acme"}}),
        ("GET", f"{root}/support@1/diff?to=support%402", None),
        ("DELETE", f"{root}/support", None),
    ]


def test_a_folder_is_sent_as_an_archive(connect: Any, server: Any, tmp_path: Path) -> None:
    server.replies(server.json(APP))
    folder = write_app(tmp_path / "support")
    (folder / ".env").write_text("SECRET=1")
    assert connect().apps.create(folder).version == "support@1"
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/llmos/v1/apps")
    assert request.headers["content-type"] == "application/x-tar"
    assert request.body == app_archive(dict(sorted(app_files().items())))


def test_what_is_no_folder_of_an_application_is_not_sent(connect: Any, server: Any, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"There is no app\.yaml in"):
        connect().apps.create(tmp_path)
    assert server.received == []


def test_applications_are_listed_compared_and_removed(connect: Any, server: Any) -> None:
    server.replies(
        server.json({"data": [APP]}),
        server.json(APP),
        server.json({"older": "support@1", "newer": "support@2", "files": [{"name": "a", "change": "added"}]}),
        server.json({"versions": ["support@1"]}),
    )
    apps = connect().apps
    assert [each.version for each in apps.list()] == ["support@1"]
    assert apps.get("support").files[0].size_bytes == 7
    assert apps.diff("support@1", "support@2").files[0].change == "added"
    assert apps.remove("support@1").versions == ["support@1"]
    assert [(method, path) for method, path, _ in asked(server)] == [
        ("GET", "/llmos/v1/apps"),
        ("GET", "/llmos/v1/apps/support"),
        ("GET", "/llmos/v1/apps/support@1/diff?to=support%402"),
        ("DELETE", "/llmos/v1/apps/support@1"),
    ]


def test_the_files_of_a_version_are_written_into_a_new_folder(connect: Any, server: Any, tmp_path: Path) -> None:
    archive = app_archive(app_files())

    def reply(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-tar")
        handler.send_header("Content-Length", str(len(archive)))
        handler.end_headers()
        handler.wfile.write(archive)

    server.replies(reply, reply)
    apps = connect().apps
    folder = apps.pull("support@1", tmp_path / "support")
    assert (folder / "prompts" / "tone.md").read_bytes() == app_files()["prompts/tone.md"]
    with pytest.raises(BadRequest, match="support has files"):
        apps.pull("support@1", folder)
    assert asked(server)[0] == ("GET", "/llmos/v1/apps/support@1/files", None)
