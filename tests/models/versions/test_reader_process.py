"""Untrusted files are read in a separate process; whatever happens there becomes an error here."""

import json
import os
import signal
import subprocess
import sys

import pytest

from llmos.core import fork_server
from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.description import Description
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions import file_facts
from llmos.models.versions.reader_process import Question, ReaderProcess

# A reader process that runs the question's `about` as code instead of reading files.
HOSTILE = """
import os, signal, sys
from dataclasses import replace
from llmos.models.versions import reader_process
def act(code):
    return lambda files, adapted: exec(code)
class Codes(dict):
    def __missing__(self, code):
        return act(code)
reader_process._READERS = Codes()
reader_process.LIMITS = replace(reader_process.LIMITS, cpu_seconds=1, wall_seconds=20)
reader_process.main()
"""


@pytest.fixture
def hostile(monkeypatch):
    """Return a function that runs code in the process that reads files."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        fork_server.subprocess, "Popen", lambda command, **more: popen([sys.executable, "-c", HOSTILE], **more)
    )
    reader = ReaderProcess()
    yield lambda code: reader.ask(Question(code, {"model.gguf": "/nowhere"}), type(None))
    reader.close()


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("bytes(1 << 34)", r"Reading model\.gguf takes more than 1,024 MiB of memory"),
        ("while True: pass", r"Reading model\.gguf takes more than 1 seconds of CPU time"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"Reading model\.gguf crashes \(SIGSEGV\)"),
        ("os._exit(3)", r"Reading model\.gguf fails \(status 3\)"),
        ("{}['tensor']", r"Reading model\.gguf fails \(KeyError: 'tensor'\)"),
    ],
)
def test_a_failure_in_the_reader_process_is_a_bad_model_file(hostile, code, message):
    with pytest.raises(BadModelFile, match=message):
        hostile(code)
    assert hostile("pass") is None


@pytest.mark.process
def test_an_error_about_a_file_arrives_as_the_same_error(hostile):
    with pytest.raises(UnsupportedModel, match="Too new"):
        hostile("from llmos.core.errors import UnsupportedModel; raise UnsupportedModel('Too new.')")
    with pytest.raises(FileNotFoundError):
        hostile("open('/nowhere/at/all')")


@pytest.mark.process
def test_the_reader_process_has_no_secrets_in_its_environment(hostile, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("LLMOS_OWNER_KEY", "secret")
    assert hostile("assert 'secret' not in os.environ.values()") is None


@pytest.mark.process
def test_a_killed_reader_process_is_started_again(gguf_path):
    reader = ReaderProcess()
    question = Question("description", {"tiny.gguf": str(gguf_path)})
    before = reader.ask(question, Description)
    os.kill(reader._server._process.pid, signal.SIGKILL)
    reader._server._process.wait()
    assert reader.ask(question, Description) == before
    reader.close()


@pytest.mark.process
def test_the_answer_equals_that_of_reading_in_this_process(gguf_path, make_folder):
    from llmos.engine.checkpoint.description import describe
    from llmos.engine.checkpoint.metadata import read_metadata

    folder = make_folder()
    for files in ({"tiny.gguf": gguf_path}, {path.name: path for path in folder.iterdir()}):
        assert file_facts.describe(files) == describe(files)
        assert file_facts.read_metadata(files) == read_metadata(files)


@pytest.mark.process
def test_numbers_too_large_for_msgpack_are_a_bad_model_file(make_folder):
    folder = make_folder()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 10**400}))
    with pytest.raises(BadModelFile):
        file_facts.read_metadata({path.name: path for path in folder.iterdir()})


def test_nothing_of_files_that_crash_the_reader_is_kept(registry, gguf_path, monkeypatch):
    def refuse(self, question, kind):
        raise BadModelFile("Reading tiny.gguf crashes (SIGSEGV).")

    monkeypatch.setattr(ReaderProcess, "ask", refuse)
    with pytest.raises(BadModelFile, match="crashes"):
        Transfers(registry).import_path(gguf_path, "mine")
    assert registry.list() == []
    assert list(registry.store.digests()) == []


@pytest.mark.process
@pytest.mark.parametrize("disguise", ["model.safetensors", "model.gguf"])
@pytest.mark.parametrize("opening", [b"PK\x03\x04", b"\x80\x02", b"\x80\x04"])
def test_a_pickle_in_disguise_is_refused_with_the_reason(registry, make_folder, tmp_path, disguise, opening):
    folder = make_folder()
    path = folder / "model.safetensors" if disguise == "model.safetensors" else tmp_path / disguise
    path.write_bytes(opening + bytes(1000))
    with pytest.raises(UnsupportedModel, match="Loading a pickle can run any code"):
        Transfers(registry).import_path(folder if disguise == "model.safetensors" else path, "mine")
    assert list(registry.store.digests()) == []
