"""Measure what encryption adds to responses, files and models: python benchmarks/encryption.py [--file-mb 100] [--json]

Compares KeptResponses and Files with the same database rows and the same writes and reads of plain bytes, interleaved.
With --model, also what loading a model takes: from its plain file, whose packed weights are mapped or packed in memory,
and from its encrypted one. Prints medians: the time that passes, most of which is the disk's, and the time of the CPU.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

from llmos.core.clock import utc_now
from llmos.core.config import Settings, load_settings
from llmos.core.database import Database
from llmos.core.encryption.aead import new_key
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.opening import open_encryption
from llmos.core.encryption.sealed_path import SealedPath
from llmos.data import queries
from llmos.data.files import Files
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.data.tables import ResponseRow
from llmos.engine.checkpoint.description import describe
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load
from llmos.models import open_registry

NUM_RESPONSES, NUM_FILES, NUM_LOADS = 200, 5, 9
RESPONSE_BYTES, PIECE_BYTES = 8_000, 1 << 20


Seconds = tuple[float, float]
"""That pass, and of the CPU."""


def timed(work: Callable[[], object]) -> Seconds:
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - began_cpu


def medians(seconds: dict[str, list[Seconds]]) -> dict[str, Seconds]:
    return {
        name: (statistics.median(passed for passed, _ in each), statistics.median(cpu for _, cpu in each))
        for name, each in seconds.items()
    }


def measure_responses(database: Database, responses: KeptResponses) -> dict[str, Seconds]:
    """Return the time to keep and to get a response, plain and encrypted."""
    text = json.dumps("x" * RESPONSE_BYTES)
    seconds: dict[str, list[Seconds]] = {"keep plain": [], "keep": [], "get plain": [], "get": []}

    def keep_plain(id: str) -> None:
        now = utc_now()
        with database.transaction() as session:
            queries.remove_expired_responses(session, now)
            row = ResponseRow(id=id, tenant="owner", created_at=now, expires_at=now + timedelta(days=30))
            row.body, row.items = text, text
            session.add(row)

    for index in range(NUM_RESPONSES):
        plain, sealed = f"plain_{index}", KeptResponse(id=f"resp_{index}", body=text, items=text)
        seconds["keep plain"].append(timed(lambda id=plain: keep_plain(id)))  # type: ignore[misc]
        seconds["keep"].append(timed(lambda kept=sealed: responses.keep("owner", kept)))  # type: ignore[misc]
        seconds["get plain"].append(timed(lambda id=plain: responses.get("owner", id)))  # type: ignore[misc]
        seconds["get"].append(timed(lambda id=sealed.id: responses.get("owner", id)))  # type: ignore[misc]
    return medians(seconds)


def measure_files(files: Files, folder: Path, num_mb: int) -> dict[str, Seconds]:
    """Return the time to write and to read a file, plain and encrypted, synced to the disk."""
    piece = os.urandom(PIECE_BYTES)
    seconds: dict[str, list[Seconds]] = {"write plain": [], "write": [], "read plain": [], "read": []}
    path, ids = folder / "plain", []

    def write_plain() -> None:
        with path.open("wb") as file:
            for _ in range(num_mb):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def write() -> None:
        upload = files.begin()
        for _ in range(num_mb):
            upload.write(piece)
        ids.append(files.finish(upload, tenant="owner", purpose="batch", filename="file").id)

    def read_plain() -> None:
        with path.open("rb") as file:
            while file.read(PIECE_BYTES):
                pass

    def read() -> None:
        with files.open(ids[-1]) as file:
            while file.read(PIECE_BYTES):
                pass

    for _ in range(NUM_FILES):
        for name, work in (("write plain", write_plain), ("write", write), ("read plain", read_plain), ("read", read)):
            seconds[name].append(timed(work))
        files.delete("owner", ids[-1])
    return medians(seconds)


def measure_model(settings: Settings, ref: str) -> dict[str, Seconds]:
    """Return the time to open a stored model's description and to load it, plain and encrypted."""
    registry = open_registry(settings)
    version = registry.resolve(ref)
    if registry.is_encrypted(version):
        raise SystemExit(f"{ref} is encrypted. Name one that isn't.")
    plain = registry.files(version)
    seconds: dict[str, list[Seconds]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, key = Path(name), DataKey("blob:benchmark", new_key())
        sealed: dict[str, Path] = {}
        for file, path in plain.items():
            sealed[file] = SealedPath.of(folder / file.replace("/", "-"), lambda: key)
            cast(SealedPath, sealed[file]).write_bytes(path.read_bytes())
        config = EngineConfig(threads=1)
        cases: dict[str, Callable[[], object]] = {
            "describe plain": lambda: describe(plain),
            "describe": lambda: describe(sealed),
            "load plain, mapped": lambda: load(plain, replace(config, packed_folder=str(folder / "packed"))),
            "load plain, packed": lambda: load(plain, config),
            "load": lambda: load(sealed, config),
        }
        for each in cases.values():
            each()  # Imports, the page cache and the packed file.
        for _ in range(NUM_LOADS):
            for case, work in cases.items():
                seconds.setdefault(case, []).append(timed(work))
    registry.database.close()
    return medians(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--file-mb", type=int, default=100)
    parser.add_argument("--model", help="a stored model that isn't encrypted, such as smollm2")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings({"LLMOS_HOME": name})
        database = Database(settings.database_url)
        database.upgrade()
        encryption = open_encryption(settings, database)
        encryption.start()
        responses = measure_responses(database, KeptResponses(database, encryption))
        files = measure_files(Files(database, settings.files_path, encryption), folder, args.file_mb)
        database.close()
    model = {} if args.model is None else measure_model(load_settings(), args.model)
    if args.json:
        print(json.dumps({"responses": responses, "files": files, "model": model}))
        return
    for name, (passed, cpu) in responses.items():
        print(f"response, {name:<10} {passed * 1000:7.2f} ms, CPU {cpu * 1000:6.2f} ms")
    for name, (passed, cpu) in files.items():
        print(f"file of {args.file_mb} MB, {name:<11} {passed:6.3f} s, CPU {cpu:6.3f} s")
    for name, (passed, cpu) in model.items():
        print(f"{args.model}, {name:<18} {passed:6.3f} s, CPU {cpu:6.3f} s")


if __name__ == "__main__":
    main()
