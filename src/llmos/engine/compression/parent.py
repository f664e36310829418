"""The model that a compressed version is made from, opened."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from llmos.core.hardware import num_cores
from llmos.core.progress import Progress, no_progress
from llmos.engine.architectures import Source
from llmos.engine.checkpoint.checkpoint import Checkpoint, validate_files
from llmos.engine.checkpoint.model_files import ModelFiles, open_model_files
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.tensors import RawTensor

S = TypeVar("S", bound=ModelSpec)
S_co = TypeVar("S_co", bound=ModelSpec, covariant=True)


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent(Generic[S_co]):
    """A model's spec and tensors, and the means to work on them."""

    spec: S_co
    tensors: Mapping[str, RawTensor]
    """By canonical name."""
    threads: int = 1
    progress: Progress = no_progress
    release_memory: Callable[[], None] = _do_nothing
    """Called when what was read of the tensors won't be needed soon."""

    def with_spec(self, spec: S, tensors: Mapping[str, RawTensor] | None = None) -> "Parent[S]":
        """Return the parent with another spec, and with other tensors if given."""
        return Parent(
            spec=spec,
            tensors=self.tensors if tensors is None else tensors,
            threads=self.threads,
            progress=self.progress,
            release_memory=self.release_memory,
        )

    def num_values(self, names: Iterable[str]) -> int:
        """Return how many values these tensors have together."""
        shapes = self.spec.tensor_shapes()
        return sum(math.prod(shapes[name]) for name in names)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParentFiles:
    """The same, and the files that the tensors are read from."""

    parent: Parent[ModelSpec]
    opened: ModelFiles
    sources: Mapping[str, Source]
    """Canonical name -> where the tensor is in the files."""
    checkpoint: Checkpoint


def open_parent(files: Mapping[str, Path], *, threads: int | None, progress: Progress) -> ParentFiles:
    """Open a model to be compressed. `threads`: None for one on each core. Raises what open_checkpoint() raises."""
    opened = open_model_files(files)
    spec, sources = validate_files(opened)
    checkpoint = Checkpoint(opened, spec, sources)
    parent = Parent(
        spec=spec,
        tensors=checkpoint.tensors,
        threads=threads or num_cores(),
        progress=progress,
        release_memory=opened.release_memory,
    )
    return ParentFiles(parent=parent, opened=opened, sources=sources, checkpoint=checkpoint)
