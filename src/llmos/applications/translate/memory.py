"""Memory: where approved pairs are kept: a file beside the program, or a dataset on the server.

A deployed app can't keep files. A dataset is a version for each approval, encrypted with the project, and any program
with `datasets:read` has it; `datasets:write` approves.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from llmos.applications.translate.pairs import Pair, merged
from llmos.client.asynchronous import AsyncClient
from llmos.core.errors import BadRequest, Conflict, NotFound

DATASET = "dataset:"
_MAX_ATTEMPTS = 5


class Memory(Protocol):
    """Keeps approved pairs."""

    async def pairs(self) -> Sequence[Pair]:
        """Return all pairs."""

    async def approve(self, pairs: Iterable[Pair]) -> None:
        """Add pairs. Each replaces the one of the same text and languages."""


def open_memory(place: str | Path, connect: Callable[[], AsyncClient] = AsyncClient) -> Memory:
    """Return the memory at a place: `dataset:NAME`, or the path of a .jsonl file."""
    if str(place).startswith(DATASET):
        return DatasetMemory(str(place).removeprefix(DATASET), connect)
    if Path(place).suffix != ".jsonl":
        raise BadRequest(f"{str(place)!r} is no memory. It is `{DATASET}NAME`, or a file that ends in .jsonl.")
    return FileMemory(Path(place))


class NoMemory:
    """Keeps nothing."""

    async def pairs(self) -> Sequence[Pair]:
        return ()

    async def approve(self, pairs: Iterable[Pair]) -> None:
        raise BadRequest("This app has no memory. Give it one: Translator(memory=…).")


class FileMemory:
    """A file of JSON lines, each a pair. Of several for the same text, the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def pairs(self) -> Sequence[Pair]:
        return await asyncio.to_thread(self._read)

    async def approve(self, pairs: Iterable[Pair]) -> None:
        await asyncio.to_thread(self._append, [*pairs])

    def _read(self) -> Sequence[Pair]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise BadRequest(f"The memory {self._path} can't be read: {error.strerror}.") from None
        pairs = []
        for number, line in enumerate(lines, 1):
            try:
                pairs += [msgspec.json.decode(line, type=Pair)] if line.strip() else []
            except msgspec.MsgspecError as error:
                raise BadRequest(f"{self._path.name}, line {number}: {error}.") from None
        return merged(pairs)

    def _append(self, pairs: Sequence[Pair]) -> None:
        lines = b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b", buffering=0) as file:  # One write: two programs never mix their lines.
                file.write(self._missing_end(file) + lines)
                os.fsync(file.fileno())
        except OSError as error:
            raise BadRequest(f"The memory {self._path} can't be written: {error.strerror}.") from None

    @staticmethod
    def _missing_end(file: BinaryIO) -> bytes:
        """Return the line break that the last line lacks, after a crash or an editor."""
        if file.seek(0, os.SEEK_END) == 0:
            return b""
        file.seek(-1, os.SEEK_END)
        return b"" if file.read(1) == b"\n" else b"\n"


class DatasetMemory:
    """A dataset of the kind `case`: the input is the source, and what is expected is the pair."""

    def __init__(self, name: str, connect: Callable[[], AsyncClient] = AsyncClient) -> None:
        self._name, self._connect = name, connect
        self._known: dict[str, Sequence[Pair]] = {}
        """The pairs of the last version that was read, by its reference."""

    async def pairs(self) -> Sequence[Pair]:
        async with self._connect() as client:
            return (await self._latest(client))[1]

    async def approve(self, pairs: Iterable[Pair]) -> None:
        """Add pairs. Those that another program adds meanwhile are kept. Raises Conflict if that never ends."""
        new = [*pairs]
        async with self._connect() as client:
            number, known = await self._latest(client)
            for _ in range(_MAX_ATTEMPTS):
                kept = merged([*known, *new])
                made = _number(await self._import(client, kept))
                if made <= number + 1:
                    return
                others = [await self._read(client, f"{self._name}@{between}") for between in range(number + 1, made)]
                known, number = merged(pair for part in [known, *others] for pair in part), made
        raise Conflict(f"The dataset {self._name} changes too often at the moment. Approve again later.")

    async def _latest(self, client: AsyncClient) -> tuple[int, Sequence[Pair]]:
        try:
            version = (await client.datasets.get(self._name)).version
        except NotFound:
            return 0, ()
        if version not in self._known:
            self._known = {version: await self._read(client, version)}
        return _number(version), self._known[version]

    async def _read(self, client: AsyncClient, version: str) -> Sequence[Pair]:
        body = b"".join([piece async for piece in client.datasets.export(version, columns=False)])
        try:
            return [msgspec.convert(_expected(line), Pair) for line in body.splitlines() if line.strip()]
        except msgspec.MsgspecError as error:
            raise BadRequest(f"The dataset {version} is no translation memory: {error}.") from None

    async def _import(self, client: AsyncClient, pairs: Sequence[Pair]) -> str:
        rows = [{"input": pair.source, "expected": msgspec.to_builtins(pair)} for pair in pairs]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "memory.jsonl")
            path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
            made = await client.datasets.import_path(path, self._name, shape="case")
        return made.version


def _expected(line: bytes) -> Any:
    return msgspec.json.decode(line).get("expected")


def _number(version: str) -> int:
    return int(version.rpartition("@")[2])
