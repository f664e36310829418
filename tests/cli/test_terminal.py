"""Locales without UTF-8, narrow terminals, and the completion of shells."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from llmos.cli import main
from llmos.cli.terminal import WordWrap
from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.tiny_gguf import write_gguf

pytestmark = pytest.mark.process


def run(home: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOS_", "LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", "llmos", *arguments],
        env={**environ, "LLMOS_HOME": str(home), **variables},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_no_encoding_makes_a_command_fail_when_its_work_is_done(
    home: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    Transfers(registry).import_path(write_gguf(home / "tiny.gguf"), "tiny")

    def printed(*arguments: str) -> str:
        stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        assert main(list(arguments)) == 0, stderr.buffer.getvalue()  # type: ignore[attr-defined]
        return str(stdout.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]

    printed("describe", "tiny", "Größe → 中文 …")
    for command in (["alias", "set", "tiny:prod", "tiny@1"], ["show", "tiny"], ["list"], ["route", "list"]):
        printed(*command)
    assert "-> ??" in printed("show", "tiny")
    assert "中文" in json.dumps(json.loads(printed("show", "tiny", "--json")), ensure_ascii=False)


def test_an_argument_that_is_no_text_is_one_line(cli: Any, home: Path) -> None:
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    Transfers(registry).import_path(write_gguf(home / "tiny.gguf"), "tiny")
    outcome = cli("describe", "tiny", os.fsdecode(b"\xff\xfe"))
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "not text" in outcome.err


def in_a_terminal(home: Path, num_columns: int, *arguments: str) -> str:
    """Run a command in a terminal of this width, and return what it shows."""
    child, terminal = pty.fork()
    if not child:
        size = struct.pack("HHHH", 24, num_columns, 0, 0)
        fcntl.ioctl(1, termios.TIOCSWINSZ, size)
        # Not os.environ alone: readline, once imported, adds COLUMNS behind Python's back.
        environ = {"PATH": os.environ["PATH"], "LLMOS_HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        os.execve(sys.executable, [sys.executable, "-m", "llmos", *arguments], environ)
    said = b""
    with contextlib.suppress(OSError):  # Linux reports the end of the other side as an error.
        while chunk := os.read(terminal, 4096):
            said += chunk
    assert os.waitpid(child, 0)[1] == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("command", [["--help"], ["list"], ["show", "tiny"]])
def test_forty_columns_are_enough(home: Path, command: list[str]) -> None:
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    Transfers(registry).import_path(write_gguf(home / "tiny.gguf"), "tiny")
    said = in_a_terminal(home, 40, *command)
    assert "tiny@1" in said or command == ["--help"]
    assert [line for line in said.splitlines() if len(line) > 40] == []


def wrapped(width: int, *pieces: str) -> str:
    written: list[str] = []
    wrap = WordWrap(width, written.append)
    for piece in pieces:
        wrap.feed(piece)
    wrap.flush()
    return "".join(written)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["one two three"], "one two\nthree"),
        (["o", "ne", " tw", "o", " thr", "ee"], "one two\nthree"),
        (["one two  ", "three"], "one two\nthree"),
        (["one\ntwo three four"], "one\ntwo three\nfour"),
        (["  indented\n\n    more"], "  indented\n\n    more"),
        (["a-word-longer-than-a-line ends"], "a-word-longer-than-a-line ends"),
        (["中文 中文 中"], "中文 中文\n中"),
    ],
)
def test_no_word_is_broken_at_the_margin(pieces: list[str], shown: str) -> None:
    assert wrapped(10, *pieces) == shown


def test_a_word_is_shown_when_its_end_is_known() -> None:
    written: list[str] = []
    wrap = WordWrap(80, written.append)
    wrap.feed("Hello wor")
    assert "".join(written) == "Hello"
    wrap.feed("ld.\n")
    assert "".join(written) == "Hello world.\n"


def test_a_shell_completes_commands_and_models(home: Path) -> None:
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    Transfers(registry).import_path(write_gguf(home / "tiny.gguf"), "tiny")

    def completed(line: str) -> list[str]:
        words = line.split(" ")
        variables = {"_LLMOS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        return run(home, **variables).stdout.decode().split()

    assert {"pull", "push", "ps"} >= set(completed("llmos pu")) >= {"pull", "push"}
    assert completed("llmos run ti") == ["tiny"]
    assert completed("llmos run no-such") == []


def test_a_setting_that_does_not_exist_is_named(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_THREDS", "2")
    outcome = cli("list")
    assert outcome.status == 0
    assert "LLMOS_THREDS is not a setting of LLMOS. Did you mean LLMOS_THREADS?" in outcome.err
