"""llmos doctor --store: what is damaged, whom it hurts, and the way back to the same version."""

import json
import shutil

import pytest

from llmos.core.config import load_settings
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.models import open_registry


@pytest.fixture
def model(cli, smollm2_path, home):
    """A model that a route, an alias and a deployment need. Returns the file that it came from and its blob."""
    file = home / "smollm2.gguf"
    shutil.copyfile(smollm2_path, file)
    cli("import", str(file), "--name", "mine")
    cli("alias", "set", "mine:prod", "mine@1")
    cli("route", "set", "chat", "mine:prod")
    cli("deploy", "mine@1", "--min", "0")
    blob = next((home / "store" / "blobs" / "sha256").iterdir())
    copy = blob.with_name("copy")  # its own file: harming it must not harm the one that it came from
    shutil.copyfile(blob, copy)
    copy.replace(blob)
    return file, blob


def harm(blob):
    with blob.open("r+b") as file:
        file.seek(1000)
        file.write(b"harmed")


def test_a_sound_store_says_what_was_read(cli, model):
    outcome = cli("doctor", "--store")
    assert outcome.status == 0
    assert "files: 1" in outcome.out
    assert "all digests match" in outcome.out


def test_damaged_packed_weights_are_named(cli, model, home):
    file, _ = model
    load_engine({"model.gguf": file}, EngineConfig(packed_folder=str(home / "packed")))
    assert "1 file of packed weights" in cli("doctor", "--store").out
    (packed,) = (home / "packed").glob("*.packed")
    harm(packed)
    outcome = cli("doctor", "--store", "--json")
    told = json.loads(outcome.out)
    assert (outcome.status, told["ok"], told["damaged"]) == (1, False, [])
    assert told["packed"][0]["advice"] == f"rm {packed}; the next load packs the weights again."
    said = cli("doctor", "--store").out
    assert "the next load packs the weights again" in said


def test_what_is_damaged_is_named_with_everything_that_needs_it(cli, model):
    file, blob = model
    harm(blob)
    outcome = cli("doctor", "--store", "--json")
    assert outcome.status == 1
    told = json.loads(outcome.out)
    assert told["ok"] is False
    assert [damage["digest"] for damage in told["damaged"]] == [f"sha256:{blob.name}"]
    (version,) = told["versions"]
    assert (version["version"], version["aliases"]) == ("mine@1", ["mine:prod"])
    assert (version["routes"], version["deployments"]) == (["chat"], ["mine@1"])
    assert version["repair"] == f"llmos import {file} --name mine"
    said = cli("doctor", "--store").out
    assert "smollm2.gguf of mine@1 holds other bytes" in said
    assert f"--set-aside, then: llmos import {file} --name mine" in said


@pytest.mark.parametrize("lost", [False, True])
def test_what_it_says_brings_the_same_version_back(cli, home, model, lost):
    file, blob = model
    if lost:
        blob.unlink()
    else:
        harm(blob)
    outcome = cli("doctor", "--store", "--set-aside")
    assert outcome.status == 1
    assert (home / "store" / "damaged" / blob.name).exists() is not lost
    assert cli("import", str(file), "--name", "mine").status == 0
    assert cli("doctor", "--store").status == 0
    assert [version.ref for version in open_registry(load_settings()).list()] == ["mine@1"]


def test_what_no_version_needs_is_named_and_collected(cli, home, model, tmp_path):
    registry = open_registry(load_settings())
    (tmp_path / "orphan").write_bytes(b"nobody's")
    digest, _ = registry.store.add(tmp_path / "orphan")
    registry.database.close()
    told = json.loads(cli("doctor", "--store", "--json").out)
    assert told["orphans"] == [{"digest": digest, "num_bytes": 8}]
    assert "llmos doctor --store --collect" in cli("doctor", "--store").out
    assert json.loads(cli("doctor", "--store", "--collect", "--json").out)["freed_bytes"] == 8
    assert json.loads(cli("doctor", "--store", "--json").out)["orphans"] == []


def test_options_of_the_store_want_the_store(cli, home):
    outcome = cli("doctor", "--set-aside")
    assert outcome.status == 2
    assert "llmos doctor --store --set-aside" in outcome.err
