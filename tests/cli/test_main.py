"""The command as a whole: help, wrong use, failures, what is loaded."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import llmos
from llmos.cli import COMMANDS, build_app, ps
from llmos.core.errors import Unavailable

FILES = [commands for files in COMMANDS.values() for commands in files.values()]
EVERY_COMMAND = [command for commands in FILES for command in commands]


def names_in(app: typer.Typer) -> list[str]:
    groups = [str(each.name) for each in app.registered_groups]
    return [str(each.name) for each in app.registered_commands] + groups


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_a_command_is_in_the_file_that_the_list_says(command: str) -> None:
    (siblings,) = [commands for commands in FILES if command in commands]
    assert names_in(build_app(command)) == list(siblings)


def test_help_names_every_command(cli: Any) -> None:
    outcome = cli("--help")
    assert outcome.status == 0
    for command in EVERY_COMMAND:
        assert f" {command} " in outcome.out


def test_help_has_a_panel_for_each_kind_of_command(cli: Any) -> None:
    titles = [line.split(" ─")[0][3:] for line in cli("--help").out.splitlines() if line.startswith("╭")]
    assert titles == ["Options", *COMMANDS]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_explains_itself(cli: Any, command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.status == 0
    assert f"llmos {command}" in outcome.out


def test_the_version_is_told(cli: Any) -> None:
    assert cli("--version").out == f"llmos {llmos.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["serve", "--prot", "1"], "--port"),
        (["serve", "--port", "70000"], "65535"),
        (["run"], "MODEL"),
        (["run", "m", "hi", "--temperature", "warm"], "number"),
        (["run", "m", "hi", "--temperature", "5"], "less than or equal to 2"),
        (["ps", "extra"], "(extra). See"),
        (["bench", "m", "--workload", "decode_9"], "decode_8"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(cli: Any, arguments: list[str], says: str) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert "--help" in outcome.err


def test_no_command_at_all_shows_the_help(cli: Any) -> None:
    outcome = cli()
    assert outcome.status == 2
    assert "Usage: llmos" in outcome.out


@pytest.fixture
def broken_ps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make `llmos ps` raise what the test says."""

    def raise_instead(error: BaseException) -> None:
        def broken() -> None:
            raise error

        monkeypatch.setattr(ps, "register", lambda app: app.command("ps")(broken))

    return raise_instead


def test_a_failure_is_one_line_and_status_1(cli: Any, broken_ps: Any) -> None:
    broken_ps(Unavailable("The model is loading. Try again in a moment."))
    outcome = cli("ps")
    assert (outcome.status, outcome.err) == (1, "Error: The model is loading. Try again in a moment.\n")


def test_an_unforeseen_failure_is_one_line_too(cli: Any, broken_ps: Any) -> None:
    broken_ps(ZeroDivisionError("division by zero\nin a long story"))
    outcome = cli("ps")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in outcome.err
    assert "--debug" in outcome.err


def test_a_missing_extra_is_named_with_the_command_that_installs_it(cli: Any, broken_ps: Any) -> None:
    broken_ps(ModuleNotFoundError("No module named 'duckdb'", name="duckdb"))
    outcome = cli("ps")
    assert outcome.status == 2
    assert "the package duckdb" in outcome.err
    assert "pip install 'llmos[data]'" in outcome.err


def test_a_failing_file_is_named(cli: Any, broken_ps: Any) -> None:
    broken_ps(PermissionError(13, "Permission denied", "/root/secret"))
    assert cli("ps").err == "Error: /root/secret: Permission denied.\n"


@pytest.mark.parametrize("arguments", [["--debug", "ps"], ["ps", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(cli: Any, broken_ps: Any, arguments: list[str]) -> None:
    broken_ps(ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError):
        cli(*arguments)


def test_debug_behind_two_dashes_is_an_argument(cli: Any) -> None:
    assert "ps" in cli("ps", "--", "--debug").err  # an argument that `ps` doesn't take


def test_ctrl_c_ends_quietly(cli: Any, broken_ps: Any) -> None:
    broken_ps(KeyboardInterrupt())
    outcome = cli("ps")
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "")


@pytest.mark.process
def test_a_reader_that_leaves_early_is_no_fault() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    outcome = subprocess.run(
        [sys.executable, "-m", "llmos", "--version"], stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert (outcome.returncode, outcome.stderr) == (1, "")


@pytest.mark.process
def test_help_loads_no_engine_no_server_and_no_database() -> None:
    script = "import sys; from llmos.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(outcome.stderr.split())
    assert "llmos.cli.run" in loaded
    assert loaded.isdisjoint({"numpy", "torch", "fastapi", "uvicorn", "sqlalchemy", "tokenizers"})


@pytest.mark.process
def test_the_documentation_is_what_the_command_says_about_itself() -> None:
    docs = Path(__file__).parents[2] / "docs"
    generated = subprocess.run(
        [sys.executable, str(docs / "generate_cli.py")], capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert (docs / "cli.md").read_text(encoding="utf-8") == generated, "python docs/generate_cli.py > docs/cli.md"


def test_the_documentation_has_no_command_that_there_is_not() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    usages = re.findall(r"^## `(.*?)`\n\n```text\nUsage: (.*)$", page, re.MULTILINE)
    assert [title for title, usage in usages if not usage.startswith(f"{title} ")] == []
