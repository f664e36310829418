"""Strangers' files are read by a process of their own, and whatever they do to it is an error that says so."""

import json
import os
import signal
import subprocess
import sys

import pytest

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.description import Description
from llmos.models.versions import facts, reading
from llmos.models.versions.reading import Question, Reader

# Starts the reader with other readers of files: each name is the code of one.
HOSTILE = """
import os, signal, sys
from dataclasses import replace
from llmos.models.versions import reading
def act(code):
    return lambda files, adapted: exec(code)
class Codes(dict):
    def __missing__(self, code):
        return act(code)
reading._READERS = Codes()
reading.LIMITS = replace(reading.LIMITS, cpu_seconds=1, wall_seconds=20)
reading.main()
"""


@pytest.fixture
def hostile(monkeypatch):
    """Ask a reader whose files do what the code says."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        reading.subprocess, "Popen", lambda command, **more: popen([sys.executable, "-c", HOSTILE], **more)
    )
    reader = Reader()
    yield lambda code: reader.ask(Question(code, {"model.gguf": "/nowhere"}), type(None))
    reader.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("bytes(1 << 34)", r"Reading model\.gguf takes more than 1,024 MiB of memory"),
        ("while True: pass", r"Reading model\.gguf takes more than 1 seconds of the processor"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"Reading model\.gguf crashes \(SIGSEGV\)"),
        ("os._exit(3)", r"Reading model\.gguf fails \(status 3\)"),
        ("{}['tensor']", r"Reading model\.gguf fails \(KeyError: 'tensor'\)"),
    ],
)
def test_what_goes_wrong_in_the_reader_is_a_bad_model_file(hostile, code, message):
    with pytest.raises(BadModelFile, match=message):
        hostile(code)
    assert hostile("pass") is None


def test_what_is_wrong_with_a_file_is_said_as_it_would_be_here(hostile):
    with pytest.raises(UnsupportedModel, match="Too new"):
        hostile("from llmos.core.errors import UnsupportedModel; raise UnsupportedModel('Too new.')")
    with pytest.raises(FileNotFoundError):
        hostile("open('/nowhere/at/all')")


def test_the_reader_has_none_of_our_secrets(hostile, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("LLMOS_OWNER_KEY", "secret")
    assert hostile("assert 'secret' not in os.environ.values()") is None


def test_a_reader_that_was_killed_is_started_again(gguf_path):
    reader = Reader()
    question = Question("description", {"tiny.gguf": str(gguf_path)})
    before = reader.ask(question, Description)
    os.kill(reader._process.pid, signal.SIGKILL)
    reader._process.wait()
    assert reader.ask(question, Description) == before
    reader.close()


def test_the_answer_is_what_reading_here_gives(gguf_path, make_folder):
    from llmos.engine.checkpoint.description import describe
    from llmos.engine.checkpoint.metadata import read_metadata

    folder = make_folder()
    for files in ({"tiny.gguf": gguf_path}, {path.name: path for path in folder.iterdir()}):
        assert facts.describe(files) == describe(files)
        assert facts.metadata(files) == read_metadata(files)


def test_numbers_that_no_message_carries_are_a_bad_model_file(make_folder):
    folder = make_folder()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 10**400}))
    with pytest.raises(BadModelFile):
        facts.metadata({path.name: path for path in folder.iterdir()})


def test_nothing_of_hostile_files_is_kept(registry, gguf_path, monkeypatch):
    def refuse(self, question, kind):
        raise BadModelFile("Reading tiny.gguf crashes (SIGSEGV).")

    monkeypatch.setattr(Reader, "ask", refuse)
    with pytest.raises(BadModelFile, match="crashes"):
        registry.import_path(gguf_path, "mine")
    assert registry.list() == []
    assert list(registry.store.digests()) == []


@pytest.mark.parametrize("disguise", ["model.safetensors", "model.gguf"])
@pytest.mark.parametrize("opening", [b"PK\x03\x04", b"\x80\x02", b"\x80\x04"])
def test_a_pickle_in_disguise_is_refused_with_the_reason(registry, make_folder, tmp_path, disguise, opening):
    folder = make_folder()
    path = folder / "model.safetensors" if disguise == "model.safetensors" else tmp_path / disguise
    path.write_bytes(opening + bytes(1000))
    with pytest.raises(UnsupportedModel, match="Loading a pickle can run any code"):
        registry.import_path(folder if disguise == "model.safetensors" else path, "mine")
    assert list(registry.store.digests()) == []
