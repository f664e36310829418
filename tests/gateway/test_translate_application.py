"""The application `translate` with the real model and a real server: patterns hold it, and a dataset is its memory."""

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llmos.applications.translate import DatasetMemory, Pair, Translator
from llmos.apps import App, ask
from llmos.client import AsyncClient
from llmos.core.errors import BadRequest
from support.doc_pages import DocPage
from support.real_server import KEY, Running

PAGE = DocPage("applications.md")


@pytest.mark.process
def test_the_real_model_is_held_to_the_pieces_at_its_first_attempt(running: Running) -> None:
    translator = Translator(ask=ask, attempts=1)
    app = App(
        "translate",
        model="smollm2",
        brain=translator.brain,
        connect=lambda: AsyncClient(running.url, api_key=KEY),
    )
    with app:
        run = app.run("Pay € 5 to {name} at <b>https://x.org/a</b>, *now*.", variables={"source": "en", "target": "fr"})
    assert run.usage.num_calls == 1
    assert run.notes == ()
    for piece in ("€ 5", "{name}", "<b>https://x.org/a</b>", "*"):
        assert run.text.count(piece) == (2 if piece == "*" else 1), run.text


@pytest.mark.process
def test_the_program_of_the_page_says_what_happens(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMOS_ENDPOINT", running.url)
    monkeypatch.setenv("LLMOS_API_KEY", KEY)
    (program,) = PAGE.blocks("python", "`translate`")
    names: dict[str, App] = {}
    exec(compile(program, "docs/applications.md", "exec"), names)
    names["app"].close()
    first, empty, last = capsys.readouterr().out.splitlines()[:3]
    assert first.startswith("- ")
    assert "{name}" in first
    assert empty == ""
    assert last.startswith("  ")
    assert "refund policy" in last or "Rückgaberegel" in last


@pytest.mark.process
def test_the_commands_of_the_page_approve_export_and_import(tmp_path: Path) -> None:
    (commands,) = PAGE.blocks("sh", "`translate`")
    for command in commands.splitlines():
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "Good morning, {name}.\tGuten Morgen, {name}.\n"


@pytest.mark.process
def test_a_dataset_is_a_memory_for_several_who_approve_at_once(running: Running) -> None:
    def memory(name: str = "approved") -> DatasetMemory:
        return DatasetMemory(name, lambda: AsyncClient(running.url, api_key=KEY))

    def pair(source: str, target: str) -> Pair:
        return Pair(source=source, target=target, source_language="en", target_language="de")

    async def work() -> None:
        assert await memory().pairs() == ()
        await memory().approve([pair("One", "Eins")])
        await asyncio.gather(*(memory().approve([pair(f"Day {each}", f"Tag {each}")]) for each in "abc"))
        await memory().approve([pair("One", "Ein")])
        kept = {each.source: each.target for each in await memory().pairs()}
        assert kept == {"One": "Ein", "Day a": "Tag a", "Day b": "Tag b", "Day c": "Tag c"}
        async with AsyncClient(running.url, api_key=KEY) as client:
            other = Path(os.environ.get("TMPDIR", "/tmp")) / f"other-{os.getpid()}.jsonl"
            other.write_text('{"input": "x", "expected": 5}\n')
            await client.datasets.import_path(other, "quiz", shape="case")
            other.unlink()
        with pytest.raises(BadRequest, match=r"quiz@1 is no translation memory"):
            await memory("quiz").pairs()

    asyncio.run(work())
