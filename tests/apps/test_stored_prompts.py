"""Prompts of a server: each run asks for the version behind the name, and one that is continued uses the same again."""

import json
from pathlib import Path

import pytest

from llmos.apps import App, StoredPrompt
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest, NotFound
from llmos.core.prompt_text import PromptText

TEXT = "---\nshop: {type: string, max_length: 8}\n---\nYou help {{shop}}."


class Prompts(MemoryServer):
    """A server whose alias support:prod moves."""

    newest = 1

    async def prompt(self, reference: str) -> PromptText:
        number = self.newest if reference == "support:prod" else int(reference.partition("@")[2])
        return PromptText.parse(f"Version {number}.", f"support@{number}")


def told(script: Script) -> list[str]:
    """Return the system messages that the model got."""
    return [prompt.messages[0]["content"] for prompt in script.prompts]


def test_a_run_uses_the_text_behind_the_name_and_says_which() -> None:
    app = App("support", prompt=StoredPrompt("support:prod"))
    with Script("Hello", "Hello").plays(app, prompts={"support:prod": TEXT}) as script:
        run = app.run("Hi", variables={"shop": "Acme"})
        assert told(script) == ["You help Acme."]
        assert [step.result for step in run.steps if step.name == "prompt"] == ["support:prod"]
        with pytest.raises(BadRequest, match=r"support:prod: the variable 'shop' takes a text of at most 8 characters"):
            app.run("Hi", variables={"shop": "Acme Corporation"})
        with pytest.raises(BadRequest, match="support:prod needs the variable 'shop'"):
            app.run("Hi")


def test_a_moved_alias_holds_from_the_next_run_on_and_not_for_one_that_is_continued() -> None:
    app = App("support", prompt=StoredPrompt("support:prod"))

    @app.tool(confirm=True)
    def cancel() -> str:
        """Cancel the order."""
        return "cancelled"

    script = Script(Call("cancel"), "Done.", "Hello")
    server = Prompts(script)
    with app.replaced(server):
        waiting = app.run("Cancel it")
        assert waiting.state == "waiting"
        server.newest = 2
        assert app.resume(waiting.id, True).text == "Done."
        app.run("Hi")
    assert [text.splitlines()[0] for text in told(script)] == ["Version 1.", "Version 1.", "Version 2."]


def test_a_prompt_that_is_not_there_fails_the_run() -> None:
    app = App("support", prompt=StoredPrompt("suport"))
    with Script("Hello").plays(app), pytest.raises(NotFound, match="There is no prompt 'suport'"):
        app.run("Hi")


def test_what_is_no_reference_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="is not a reference to a prompt"):
        StoredPrompt("prompts/support.md")


@pytest.mark.anyio
async def test_its_variables_are_known_when_the_app_is_ready() -> None:
    app = App("support", prompt=StoredPrompt("support:prod"))
    assert app.variables == frozenset()
    with Script().plays(app, prompts={"support:prod": TEXT}):
        await app.ready()
    assert app.variables == {"shop"}
    schema = app.variables_schema
    assert schema["properties"]["shop"] == {"type": "string", "maxLength": 8}
    assert schema["additionalProperties"] is True


@pytest.mark.parametrize(
    ("prompt", "reference"),
    [
        ({"name": "support"}, "support"),
        ({"name": "support", "version": 3}, "support@3"),
        ({"name": "support", "alias": "prod"}, "support:prod"),
    ],
)
def test_app_yaml_names_one(prompt: dict[str, object], reference: str, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(f"name: support\nprompt: {json.dumps(prompt)}\n")
    app = App.from_folder(tmp_path)
    with Script("Hello").plays(app, prompts={reference: "Be brief."}) as script:
        app.run("Hi")
    assert told(script) == ["Be brief."]


def test_app_yaml_names_a_version_or_an_alias(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text("name: support\nprompt: {name: support, version: 3, alias: prod}\n")
    with pytest.raises(BadRequest, match=r"app\.yaml: `prompt` has either a `version` or an `alias`"):
        App.from_folder(tmp_path)
