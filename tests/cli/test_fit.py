"""llmos fit: yes, or no with the arithmetic and what would fit."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmos.core.hardware import Hardware, inspect_hardware
from llmos.engine import loading
from llmos.engine.sizing import fit as fitting
from llmos.engine.sizing import machine as machines
from llmos.engine.sizing import measure
from llmos.engine.sizing.other_load import OtherLoad
from llmos.engine.sizing.probe import ProbeModels


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> Hardware:
    """A machine that is measured quickly, with a known amount of free memory."""
    hardware = replace(inspect_hardware(), num_cores=1, available_bytes=400_000_000)
    monkeypatch.setattr(fitting, "inspect_hardware", lambda: hardware)
    monkeypatch.setattr(loading, "inspect_hardware", lambda: hardware)
    monkeypatch.setattr(machines, "inspect_hardware", lambda: hardware)
    monkeypatch.setattr(measure, "inspect_hardware", lambda: hardware)
    whole = ProbeModels()
    small = ProbeModels(
        narrow=replace(whole.narrow, num_layers=1),
        middle=replace(whole.middle, num_layers=1),
        wide=replace(whole.wide, num_layers=2),
        small=replace(whole.small, num_layers=1),
        seconds_each=0.01,
    )
    monkeypatch.setattr(measure, "ProbeModels", lambda: small)
    monkeypatch.setattr(OtherLoad, "cores", lambda _: 0.0)  # Tests run on busy machines, too.
    return hardware


@pytest.fixture
def free(small_machine, monkeypatch: pytest.MonkeyPatch):
    """Let so many bytes be free."""

    def let(num_bytes: int) -> None:
        monkeypatch.setattr(fitting, "inspect_hardware", lambda: replace(small_machine, available_bytes=num_bytes))

    return let


@pytest.fixture(scope="module")
def kept_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine") / "machine.json"


@pytest.fixture
def measured(home: Path, kept_profile: Path) -> Iterator[None]:
    """The profile of this machine is in the home: measured by the first test with this fixture, then copied."""
    if kept_profile.exists():
        shutil.copy(kept_profile, home)
    yield
    if not kept_profile.exists():
        shutil.copy(home / kept_profile.name, kept_profile)


@pytest.fixture
def smollm2(cli, home: Path, smollm2_path: Path) -> Path:
    path = home / "smol.gguf"
    path.symlink_to(os.path.realpath(smollm2_path))
    return path


def test_a_model_that_fits_is_told_so_with_bytes_and_speed(cli, smollm2) -> None:
    said = cli("fit", str(smollm2), "--context", "2048", "--streams", "2")
    assert said.status == 0
    assert re.match(r"Yes: \S+ for 2 streams of 2,048 tokens\. It fits: 97 MB of weights \+ 50 MB of KV", said.out)
    assert "llmos deploy" in said.out
    assert "tokens/s for one stream" in said.out
    assert "tokens/s for 2 streams together" in said.out
    assert "Measuring" in said.err
    assert "Measuring" not in cli("fit", str(smollm2)).err, "once is enough"
    assert "Measuring" in cli("fit", str(smollm2), "--measure").err


@pytest.mark.usefixtures("measured")
def test_one_that_does_not_names_what_would(cli, smollm2) -> None:
    said = cli("fit", str(smollm2), "--context", "8192", "--streams", "16")
    assert said.status == 1
    assert said.out.startswith("No: ")
    assert "It doesn't fit: 97 MB of weights + 1.60 GB of KV cache" in said.out
    assert "2 streams of 8,192 tokens" in said.out
    assert "16 streams of 1," in said.out
    facts = json.loads(cli("fit", str(smollm2), "--context", "8192", "--streams", "16", "--json").out)
    assert facts["fits"] is False
    assert facts["bytes"]["total"] > facts["bytes"]["available"] == 400_000_000
    for choice in facts["choices"]:
        assert choice["bytes"] <= 400_000_000
        again = cli(*choice["command"].removeprefix("llmos ").split())
        assert again.status == 0, "what is named does fit"


@pytest.mark.usefixtures("measured")
def test_a_model_without_room_is_told_what_would_have_it(cli, smollm2, free) -> None:
    assert cli("import", str(smollm2), "--name", "smol").status == 0
    free(150_000_000)
    said = cli("fit", "smol")
    assert said.status == 1
    assert said.out.startswith("No: smol@1 for 1 stream of 1,024 tokens. It doesn't fit: 97 MB of weights")
    assert json.loads(cli("fit", "smol", "--json").out)["fits"] is False
    free(200_000_000)
    (choice,) = json.loads(cli("fit", "smol", "--context", "8192", "--streams", "200", "--json").out)["choices"]
    assert choice["what"].startswith("1 stream of ")
    assert cli(*choice["command"].removeprefix("llmos ").split()).status == 0


@pytest.mark.usefixtures("measured")
def test_a_file_is_imported_before_it_is_deployed(cli, smollm2) -> None:
    told = cli("fit", str(smollm2), "--streams", "2").out
    assert (
        f"To deploy it with these limits: llmos import {smollm2} --name NAME && llmos deploy NAME --option kv_bytes="
        in told
    )


@pytest.mark.usefixtures("measured")
def test_a_version_is_named_as_the_registry_names_it(cli, smollm2) -> None:
    assert cli("import", str(smollm2), "--name", "smol").status == 0
    assert json.loads(cli("fit", "smol", "--json").out)["model"] == "smol@1"


def test_a_model_of_the_catalog_that_is_not_here_is_answered_roughly(cli) -> None:
    said = cli("fit", "smollm2")
    assert said.status == 0
    assert "isn't here yet" in said.out
    assert "llmos pull smollm2 && llmos fit smollm2" in said.out
    assert json.loads(cli("fit", "smollm2", "--json").out)["is_estimate"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-here"], "nothing-here"),
        (["{smollm2}", "--context", "9000"], "this model takes 1 to 8,192 tokens"),
        (["{smollm2}", "--streams", "0"], "--streams"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(cli, smollm2, arguments, message) -> None:
    said = cli("fit", *(each.format(smollm2=smollm2) for each in arguments))
    assert said.status == 2
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
