"""The arrays of one compressed matrix, by the last part of their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """The arrays of a compressed matrix."""

    module: str
    """The name that they have in common, such as model.layers.0.mlp.up_proj."""
    arrays: Mapping[str, Array]

    def get(self, name: str, num_dimensions: int) -> Array:
        """Return an array. Raises BadModelFile if it is missing, or has another number of dimensions."""
        found = self.arrays.get(name)
        if found is None:
            raise BadModelFile(f"The compressed matrix {self.module} has no {name}. Download the model again.")
        if found.ndim != num_dimensions:
            raise BadModelFile(f"{self.module}.{name} has {found.ndim} dimensions instead of {num_dimensions}.")
        return found

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise BadModelFile unless the array has this shape."""
        if (found := self.arrays[name].shape) != shape:
            raise BadModelFile(f"{self.module}.{name} is {list(found)} instead of {list(shape)}.")

    def group_of_column(self, name: str, num_columns: int, num_groups: int) -> npt.NDArray[np.int64]:
        """Return the group of each column: what the array says, or groups of equal size where there is none."""
        if name not in self.arrays:
            if num_groups == 0 or num_columns % num_groups:
                raise BadModelFile(f"{self.module}: {num_columns} columns are no {num_groups} groups of equal size.")
            return np.arange(num_columns, dtype=np.int64) // (num_columns // num_groups)
        groups = self.get(name, 1).astype(np.int64)
        self.check(name, (num_columns,))
        if groups.size and not 0 <= groups.min() <= groups.max() < num_groups:
            raise BadModelFile(f"{self.module}.{name} names groups that don't exist; there are {num_groups}.")
        return groups
