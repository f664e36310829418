"""The folder of an application: what it says, which files it has, and the App that its program makes."""

from pathlib import Path

import pytest

from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.hosting.folder import AppFolder

MANIFEST = """
name: support
description: Answers customers.
model: smollm2
prompt: prompts/support.md
variables: {shop: Acme}
options: {max_tokens: 40}
limits: {steps: 2}
history: {overflow: oldest}
disclaimer: Ask a person.
"""

PROGRAM = """
from llmos.apps import App
from words import GREETING

app = App.from_folder(__file__)

@app.tool
def greet(name: str) -> str:
    "Greet somebody."
    return f"{GREETING} {name}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "support.md").write_text("You work at {{shop}}.")
    (tmp_path / "app.yaml").write_text(MANIFEST)
    return tmp_path


def test_a_manifest_alone_is_an_app(folder: Path) -> None:
    app = AppFolder.open(folder).load()
    with Script("Hello").plays(app) as script:
        assert app.run("Hi").text == "Hello\n\nAsk a person."
    assert app.name == "support"
    assert script.prompts[0].messages[0]["content"] == "You work at Acme."
    assert script.prompts[0].options == {"max_tokens": 40}


def test_a_program_adds_tools_and_imports_from_its_folder(folder: Path) -> None:
    (folder / "app.py").write_text(PROGRAM)
    (folder / "words.py").write_text("GREETING = 'Hello'")
    app = AppFolder.open(folder / "app.py").load()
    with Script(Call("greet", name="Ada"), "Done.").plays(app) as script:
        app.run("Greet Ada")
    assert script.prompts[1].messages[-1]["content"] == "Hello Ada"


def test_options_of_the_program_go_before_the_manifest(folder: Path) -> None:
    (folder / "app.py").write_text(
        "from llmos.apps import App\napp = App.from_folder(__file__, brain=lambda text: text.upper(), disclaimer='')"
    )
    app = AppFolder.open(folder).load()
    with Script().plays(app):
        assert app.run("hi").text == "HI"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("x = 1", "has nothing called `app`"),
        ("app = 3", "has `app`, which is no App but int"),
        ("from llmos.apps import App\napp = App('other')", "makes the app other, and app.yaml describes support"),
        ("x = 1\nx.y", r"app.py, line 2 can't be loaded: AttributeError"),
        ("x = (", r"app.py, line 1 can't be loaded: SyntaxError"),
        ("import nothing_of_this_name", "line 1 can't be loaded: ModuleNotFoundError"),
        (
            "from llmos.apps import App\napp = App('support')\n@app.tool\ndef f(*a: int) -> str:\n  return ''",
            r"line 3 can't be loaded: TypeError",
        ),
    ],
)
def test_a_program_that_makes_no_app_is_refused_in_one_sentence(folder: Path, program: str, message: str) -> None:
    (folder / "app.py").write_text(program)
    with pytest.raises(BadRequest, match=message) as error:
        AppFolder.open(folder).load()
    assert "\n" not in error.value.message


def test_files_are_those_of_the_application(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "faq.md").write_text("# Hours")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_text("x")
    (folder / ".env").write_text("SECRET=1")
    files = AppFolder.open(folder).files()
    assert [*map(str, files)] == ["app.yaml", "data/faq.md", "prompts/support.md"]


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("home") / "secret"
    secret.write_text("key")
    (folder / "data").symlink_to(secret.parent)
    with pytest.raises(BadRequest, match="a link that leads out of the folder"):
        AppFolder.open(folder).files()


def test_a_prompt_outside_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "app.yaml").write_text("name: support\nprompt: ../secret.md")
    with pytest.raises(BadRequest, match="outside of the folder"):
        AppFolder.open(folder).load()


def test_a_folder_without_a_manifest_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"has no app.yaml. `llmos app init`"):
        AppFolder.open(tmp_path)
    with pytest.raises(BadRequest, match=r"no app.yaml|no folder"):
        AppFolder.open(tmp_path / "nothing")
