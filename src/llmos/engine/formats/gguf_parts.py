"""GGUF models that are split into several files, NAME-00001-of-00003.gguf and so on, as llama-gguf-split writes them.

split.count           the number of parts
split.no              the number of this part, from 0 on; part 0 has the metadata of the model
split.tensors.count   the number of tensors of all parts together
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.tensors import LazyTensors, RawTensor

MAX_PARTS = 1000
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def names_of_parts(name: str) -> list[str]:
    """Return the names of all parts of the model that a file is named as a part of; for another name, only itself."""
    match = _PART.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]) <= MAX_PARTS:
        return [name]
    return [f"{match['stem']}-{number:05}-of-{match['count']}.gguf" for number in range(1, int(match["count"]) + 1)]


def missing_parts(names: Collection[str], present: Collection[str]) -> str | None:
    """Return a sentence that names the parts which are not present; None where all are."""
    missing = [name for name in names if name not in present]
    if not missing:
        return None
    shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return f"The model is split into {len(names)} files, and {len(missing)} of them are missing: {shown}."


class GGUFParts:
    """The files of one model, opened together: the metadata of the first part, and the tensors of all."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """`files`: file name -> path, in any order. Raises BadModelFile unless they are all parts of one model."""
        parts = {name: GGUFFile(path, name) for name, path in files.items()}
        self._parts = _in_order(parts) if len(parts) > 1 else list(parts.values())
        self.metadata: dict[str, Any] = self._parts[0].metadata
        self.tensors: Mapping[str, RawTensor] = self._parts[0].tensors
        if len(self._parts) > 1:
            self.tensors = _all_tensors(self._parts, _number(self.metadata, "split.tensors.count"))
        elif (count := _number(self.metadata, "split.count")) > 1:
            name = self._parts[0].name
            raise BadModelFile(
                f"{name} is part {_number(self.metadata, 'split.no') + 1} of {count} of a model. The parts belong "
                f"together in one folder, with the names that they were published with: "
                f"NAME-00001-of-{count:05}.gguf to NAME-{count:05}-of-{count:05}.gguf."
            )

    def release_memory(self) -> None:
        """Release the memory of the pages that were read. They are read from the files again when needed."""
        for part in self._parts:
            part.release_memory()


def _in_order(parts: Mapping[str, GGUFFile]) -> list[GGUFFile]:
    """Return the parts by their numbers. Raises BadModelFile unless they are the parts of one model."""
    if any(_number(part.metadata, "split.count") <= 1 for part in parts.values()):
        raise BadModelFile(f"There are {len(parts)} GGUF files ({', '.join(sorted(parts))}); choose one of them.")
    by_number: dict[int, GGUFFile] = {}
    for name, part in parts.items():
        number, count = _number(part.metadata, "split.no"), _number(part.metadata, "split.count")
        if count != len(parts) or not 0 <= number < count:
            raise BadModelFile(
                f"{name} says that it is part {number + 1} of {count}, but there are {len(parts)} files."
            )
        if number in by_number:
            raise BadModelFile(f"{name} and {by_number[number].name} both say that they are part {number + 1}.")
        by_number[number] = part
    return [by_number[number] for number in range(len(parts))]


def _all_tensors(parts: list[GGUFFile], num_tensors: int) -> Mapping[str, RawTensor]:
    owners: dict[str, GGUFFile] = {}
    for part in parts:
        if twice := owners.keys() & part.tensors.keys():
            name = min(twice)
            raise BadModelFile(f"{part.name} and {owners[name].name} both have the tensor {name!r}.")
        owners |= dict.fromkeys(part.tensors, part)
    if len(owners) != num_tensors:
        raise BadModelFile(
            f"The {len(parts)} parts have {len(owners):,} tensors; {parts[0].name} says that there are {num_tensors:,}."
        )
    return LazyTensors(owners, lambda name, part: part.tensors[name])


def _number(metadata: Mapping[str, Any], key: str) -> int:
    value = metadata.get(key, 0)
    return value if type(value) is int else 0
