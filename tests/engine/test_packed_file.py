"""Packed weights in a file: the same logits, one copy for all processes, and every damage detected."""

import asyncio
import errno
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from llmos.core.locks import locked
from llmos.core.progress import no_progress
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.placer import PlacementRequest, ReplicaSettings
from llmos.deployments.replicas.replica import Replica
from llmos.engine import packed_file
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.messages import Generate, SamplingParams
from llmos.engine.packed_file import PackedFolder, packed_files, read_footer, sweep, verify
from llmos.engine.runner import Batch
from llmos.engine.runner.encoder import NativeEncoder
from llmos.engine.runner.native import NativeRunner
from support.fakes import drain, tokens_of
from support.tiny_encoders import make_tiny_encoder
from support.tiny_models import make_tiny_model

PROMPT = np.arange(1, 20, dtype=np.int32)


@pytest.fixture
def files(tmp_path):
    return make_tiny_model("llama", tmp_path / "model").files()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "packed"


def logits_of(files, folder=None, **options):
    """Return the model's logits, and whether its weights were mapped from a file."""
    checkpoint = open_checkpoint(files)
    packed = PackedFolder(folder, files, no_progress) if folder is not None else None
    if packed is not None:
        options["packer"] = packed.pack
    runner = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=4, **options)
    positions = np.arange(len(PROMPT), dtype=np.int32)
    logits = runner.forward(
        Batch(
            tokens=PROMPT,
            starts=np.array([0, len(PROMPT)], np.int32),
            context_lengths=np.zeros(1, np.int32),
            block_tables=np.array([[2, 0]], np.int32),
            logit_rows=positions,
        )
    )
    return logits.tolist(), packed is not None and packed.is_shared


def only_file(folder) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("case", ["llama", "gpt2", "mixtral", "gpt_neox"])
@pytest.mark.parametrize("weights", ["auto", "int4", "f32"])
def test_a_decoder_gives_the_same_logits_with_and_without_the_file(tmp_path, folder, case, weights):
    files = make_tiny_model(case, tmp_path / "model").files()
    expected, _ = logits_of(files, weights=weights)
    assert logits_of(files, folder, weights=weights) == (expected, True), "written"
    assert logits_of(files, folder, weights=weights) == (expected, True), "found"
    assert verify(only_file(folder)) is None


def test_an_encoder_gives_the_same_vectors_with_and_without_the_file(tmp_path, folder):
    files = make_tiny_encoder("bert", tmp_path / "model").files()
    checkpoint = open_checkpoint(files)
    packed = PackedFolder(folder, files, no_progress)
    starts = np.array([0, len(PROMPT)], np.int32)
    vectors = [
        NativeEncoder(checkpoint.spec, checkpoint.tensors, **options).forward(PROMPT, starts).tolist()
        for options in ({}, {"packer": packed.pack}, {"packer": packed.pack})
    ]
    assert packed.is_shared
    assert vectors[0] == vectors[1] == vectors[2]


def test_weights_in_the_file_are_not_packed_again(files, folder, monkeypatch):
    expected, _ = logits_of(files, folder)
    monkeypatch.setattr(packed_file, "pack_in_chunks", None)
    monkeypatch.setattr(packed_file, "pack", None)
    assert logits_of(files, folder) == (expected, True)


def test_other_options_get_another_file_and_the_same_ones_the_same(files, folder):
    for weights in ("auto", "f32", "int8", "auto"):  # of a file of floats, "auto" makes what "int8" makes
        logits_of(files, folder, weights=weights)
    assert len(list(folder.iterdir())) == 2


def test_a_changed_model_file_is_packed_again(files, folder):
    logits_of(files, folder)
    before = only_file(folder)
    path = files["model.safetensors"]
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    assert logits_of(files, folder)[1]
    assert only_file(folder) != before, "the old file is unusable, so it was removed"


def cut(data):
    return data[:-1]


def cut_to_nothing(data):
    return b""


def lose_a_page(data):
    return data[4096:]


def change_the_footer(data):
    return data.replace(b'"layout": 1', b'"layout": 2')


def replace_by_zeros(data):
    return bytes(len(data))


@pytest.mark.parametrize("damage", [cut, cut_to_nothing, lose_a_page, change_the_footer, replace_by_zeros])
def test_a_damaged_file_is_written_again(files, folder, damage, caplog):
    expected, _ = logits_of(files, folder)
    path = only_file(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert verify(path) is not None
    with caplog.at_level(logging.WARNING):
        assert logits_of(files, folder) == (expected, True)
    assert "packed again" in caplog.text
    assert only_file(folder).read_bytes() == whole


def test_a_file_of_another_layout_is_written_again(files, folder, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(packed_file, "LAYOUT", 0)
        logits_of(files, folder)
    old = only_file(folder)
    logits_of(files, folder)
    assert only_file(folder) != old
    assert read_footer(only_file(folder)).layout == packed_file.LAYOUT


def test_verify_detects_one_changed_bit(files, folder):
    logits_of(files, folder)
    path = only_file(folder)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    assert verify(path) == "its payload was changed"


def test_of_concurrent_loaders_one_writes_and_the_others_wait(files, folder, monkeypatch):
    writes = []
    inner = packed_file.pack_in_chunks
    monkeypatch.setattr(packed_file, "pack_in_chunks", lambda *args: writes.append(1) or inner(*args))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: logits_of(files, folder), range(6)))
    assert answers == [answers[0]] * 6
    assert answers[0][1]
    assert len(writes) == 1


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("when", ["posix_fallocate", "fsync", "known before"])
def test_on_a_full_disk_the_weights_are_packed_in_memory_and_no_file_is_left(files, folder, monkeypatch, caplog, when):
    expected, _ = logits_of(files)
    if when == "known before":
        monkeypatch.setattr(packed_file, "SPARE_BYTES", 1 << 60)
    else:
        monkeypatch.setattr(os, when, full_disk)
        monkeypatch.setattr(packed_file, "_write_all", full_disk)
    with caplog.at_level(logging.WARNING):
        assert logits_of(files, folder) == (expected, False)
    assert "kept in this process's own memory" in caplog.text
    assert list(folder.iterdir()) == []


def test_without_a_usable_folder_the_weights_are_packed_in_memory(files, tmp_path):
    expected, _ = logits_of(files)
    (tmp_path / "file").write_text("not a folder")
    assert logits_of(files, tmp_path / "file" / "packed") == (expected, False)


def test_a_sweep_removes_unusable_files(files, folder, tmp_path):
    other = make_tiny_model("gpt2", tmp_path / "other").files()
    logits_of(files, folder)
    mine = only_file(folder)
    logits_of(other, folder)
    (folder / "dead.part").write_bytes(b"a process died here")
    (folder / "damaged.packed").write_bytes(b"?")
    (folder / "busy.part").write_bytes(b"a process writes here")
    with locked(folder / "busy.lock"):
        other["config.json"].unlink()
        removed = {path.name for path in sweep(folder)}
    assert removed >= {"dead.part", "damaged.packed"}
    assert [(path.name, found.num_bytes > 0) for path, found in packed_files(folder)] == [(mine.name, True)]
    assert (folder / "busy.part").exists()


@pytest.fixture(scope="module")
def packed_smollm2(smollm2_path, tmp_path_factory):
    return {"model.gguf": smollm2_path}, EngineConfig(packed_folder=str(tmp_path_factory.mktemp("packed")))


def test_the_real_model_gives_the_same_tokens_from_the_file(packed_smollm2):
    files, config = packed_smollm2
    answers = []
    for each in (EngineConfig(), config, config):
        engine, ready = load_engine(files, each)
        request = Generate(id="r", text="The sea", sampling=SamplingParams(temperature=0, max_tokens=30))
        engine.submit(request)
        answers.append(tokens_of(drain(engine)["r", 0]))
        assert ready.shares_weights == (each is config)
    assert answers[0] == answers[1] == answers[2]


def test_two_replicas_of_a_model_share_one_copy_of_its_weights(packed_smollm2):
    files, config = packed_smollm2

    async def body():
        request = PlacementRequest(files=files, settings=ReplicaSettings(config=config))
        replicas = [await Replica.start(LocalPlacer(), request) for _ in range(2)]
        try:
            assert all(replica.ready.shares_weights for replica in replicas)
            return [mapped_kilobytes(replica.pid) for replica in replicas]
        finally:
            await asyncio.gather(*(replica.kill() for replica in replicas))

    for kilobytes in asyncio.run(body()):
        assert kilobytes["Size"] * 1024 > 50_000_000
        assert kilobytes["Private_Dirty"] + kilobytes["Private_Clean"] == 0
        assert kilobytes["Pss"] <= kilobytes["Rss"] / 2 + 1


def mapped_kilobytes(pid):
    """Return the sizes of the packed file's mapping, from /proc/PID/smaps."""
    _, _, behind = Path(f"/proc/{pid}/smaps").read_text().partition(".packed\n")
    pairs = re.findall(r"^(\w+): +(\d+) kB$", behind.partition("VmFlags")[0], re.MULTILINE)
    return {name: int(value) for name, value in pairs}


def test_packing_reports_progress(files, folder):
    calls = []
    packed = PackedFolder(folder, files, lambda *args: calls.append(args))
    checkpoint = open_checkpoint(files)
    make = partial(NativeRunner, checkpoint.spec, checkpoint.tensors, num_blocks=4, packer=packed.pack)
    make()
    (label, num_done, num_total) = calls[-1]
    assert (label, num_done) == ("packing the weights", num_total)
