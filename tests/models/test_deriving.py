"""Deriving versions: the same recipe gives the same version, and an interruption leaves no partial version."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, Conflict, ModelNotFound, StoreFailed
from llmos.engine.compression.recipe import Recipe
from llmos.models import open_registry
from llmos.models.deriving import derive, recipe_of
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from support.tiny_gguf import write_tokenizer
from support.tiny_models import make_tiny_model

GPTQ = Recipe.of("quantize", "gptq", {"texts": 4, "length": 32})
MINMAX = Recipe.of("quantize", "minmax", {"bits": 4})


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model("llama-tied-wide", folder)
    write_tokenizer(folder / "tokenizer.json")
    return folder


def registry_at(home: Path) -> Registry:
    return open_registry(load_settings({"LLMOS_HOME": str(home)}))


@pytest.fixture
def registry(tiny_folder: Path, tmp_path: Path) -> Registry:
    registry = registry_at(tmp_path)
    Transfers(registry).import_path(tiny_folder, "tiny", license="apache-2.0")
    return registry


def left_over(registry: Registry) -> list[str]:
    return [path.name for path in (registry.store.path / "incoming").iterdir()]


def test_a_derived_version_has_its_parent_and_recipe(registry):
    made = derive(registry, "tiny", GPTQ)
    assert made.version.ref == "tiny-gptq4@1"
    assert made.version.parent == registry.resolve("tiny").digest
    assert made.version.recipe == GPTQ.canonical()
    assert made.version.license == "apache-2.0"
    assert left_over(registry) == []


def test_the_same_recipe_gives_the_same_digest_on_another_installation(registry, tiny_folder, tmp_path):
    first = derive(registry, "tiny", GPTQ)
    again = derive(registry, "tiny@1", GPTQ)
    assert (first.already_existed, again.already_existed) == (False, True)
    assert again.version == first.version
    registry.remove("tiny-gptq4")
    assert derive(registry, "tiny", GPTQ).version.digest == first.version.digest
    other = registry_at(tmp_path / "elsewhere")
    Transfers(other).import_path(tiny_folder, "tiny", license="apache-2.0")
    assert derive(other, "tiny", GPTQ, name="small").version.digest == first.version.digest


def test_another_recipe_under_the_same_name_is_its_next_version(registry):
    derive(registry, "tiny", MINMAX, name="small")
    assert derive(registry, "tiny", GPTQ, name="small").version.ref == "small@2"


def test_invalid_names_and_versions_are_reported_before_the_work(registry, monkeypatch):
    monkeypatch.setattr("llmos.models.deriving._recipe_kinds", lambda: pytest.fail("the work began"))
    with pytest.raises(Conflict, match="The name tiny is taken"):
        derive(registry, "tiny", MINMAX, name="tiny")
    with pytest.raises(ModelNotFound, match="It has tiny@1"):
        derive(registry, "tiny@2", MINMAX)


def test_a_quantized_parent_gives_a_warning(registry):
    assert derive(registry, "tiny", MINMAX).warning is None
    warning = derive(registry, "tiny-minmax4", GPTQ, name="twice").warning
    assert warning is not None
    lossy, larger = warning.split(". The loss of both quantizations adds up. ")
    assert lossy == "tiny-minmax4@1 is already quantized (minmax 4 bits)"
    assert larger.startswith("twice@1 isn't smaller: ")


def test_a_pruned_parent_gives_no_warning(registry):
    derive(registry, "tiny", Recipe.of("prune", "magnitude", {}))
    assert derive(registry, "tiny-magnitude50", MINMAX).warning is None


def test_the_recipe_has_the_digest_of_the_calibration_text(tmp_path):
    (tmp_path / "text").write_text("Once upon a time")
    recipe = recipe_of("quantize", "gptq", {}, tmp_path / "text")
    assert recipe.options["calibration"] == f"sha256:{hashlib.sha256(b'Once upon a time').hexdigest()}"
    with pytest.raises(BadRequest, match=r"is not a regular file\. Write"):
        recipe_of("quantize", "gptq", {}, Path("/dev/zero"))
    with pytest.raises(BadRequest, match="q8_0 has no option 'calibration'"):
        recipe_of("quantize", "q8_0", {}, tmp_path / "text")


def test_a_full_disk_is_reported_and_leaves_nothing(registry, monkeypatch):
    def full(file: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StoreFailed, match=r"is too full for tiny-minmax4\. Nothing of it was kept"):
        derive(registry, "tiny", MINMAX)
    assert left_over(registry) == []
    assert registry.names() == ["tiny"]


INTERRUPTED = """
import contextlib, os, signal, sys
from llmos.cli import main, make

signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell starts background processes with SIGINT ignored.
label, number = sys.argv[1], int(sys.argv[2])

@contextlib.contextmanager
def killing_progress(unit):
    def progress(current, num_done, num_total):
        if current.startswith(label):
            os.kill(os.getpid(), number)
    yield progress

make.progress_bar = killing_progress
sys.exit(main(["quantize", "tiny", "--scheme", "gptq", "--texts", "4", "--length", "32"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    "label", ["reading the weights", "generating the calibration", "quantizing", "model.safetensors"]
)
def test_an_interruption_at_any_point_leaves_no_partial_version(registry, tmp_path, label, number):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, label, str(int(number))],
        env=environ | {"LLMOS_HOME": str(tmp_path)},
        timeout=300,
        check=False,
    )
    assert ended.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert registry.names() == ["tiny"]
    if number == signal.SIGINT:
        assert left_over(registry) == []
    assert registry.store.verify([digest for digest, _ in registry.store.digests()]) == []
    assert derive(registry, "tiny", MINMAX).version.ref == "tiny-minmax4@1"
    assert left_over(registry) == []
