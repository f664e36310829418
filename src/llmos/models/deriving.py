"""Derives versions: makes a version from another one by a recipe, such as quantization or pruning.

The work is done in a scratch folder of the store, so an interruption or a full disk leaves no partial version.
"""

import errno
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.progress import Progress, no_progress
from llmos.core.store.blob_files import digest_of
from llmos.engine.compression.recipe import Kind, Recipe
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

_UNQUANTIZED = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveResult:
    version: Version
    already_existed: bool
    """The same recipe had made this version from the same parent before."""
    warning: str | None
    """The fault of the parent or the result, or None."""


def recipe_of(kind: Kind, scheme: str, options: Mapping[str, Any], text: Path | None = None) -> Recipe:
    """Return the recipe. `text`: a file to calibrate with; None for a text that the model writes itself.

    Raises BadRequest for an unknown scheme or option, and for a text that can't be read.
    """
    if text is None:
        return Recipe.of(kind, scheme, options)
    if text.exists() and not text.is_file():  # A pipe can be read only once, and a device may never end.
        raise BadRequest(f"{text} is not a regular file. Write the text to one.", param="calibration")
    try:
        digest = digest_of(text)
    except OSError as error:
        raise BadRequest(f"The text {text} can't be read: {error.strerror}.", param="calibration") from None
    return Recipe.of(kind, scheme, {**options, "calibration": digest})


def derive(
    registry: Registry,
    ref: str,
    recipe: Recipe,
    *,
    name: str | None = None,
    text: Path | None = None,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> DeriveResult:
    """Make a version of the model `name` from the version that `ref` names.

    `name`: PARENT-LABEL by default. `text`: the file that was given to recipe_of(). `actor`: who makes it; None is the
    user of this process. Raises ModelNotFound, Conflict for a name that is taken, StoreFailed for a full disk, and the
    recipe's errors for an unsuitable model.
    """
    parent = registry.resolve(ref)
    name = check_derivable(registry, parent, recipe, name)
    if (version := registry.derived.find(name, parent, recipe.canonical())) is not None:
        return DeriveResult(version=version, already_existed=True, warning=_warning(parent, version))
    run_recipe, registry = _recipe_kinds()[recipe.kind], registry.encrypting_like(parent)
    with registry.store.scratch() as folder:
        try:
            files = run_recipe(registry.files(parent), folder, recipe, progress, text=text)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreFailed(
                f"The disk of {registry.store.path} is too full for {name}. Nothing of it was kept. Free some space and"
                " try again, or choose another LLMOS_HOME."
            ) from error
        version = registry.derived.add(
            name, files, parent=parent, recipe=recipe.canonical(), actor=actor or _user(), progress=progress
        )
    return DeriveResult(version=version, already_existed=False, warning=_warning(parent, version))


def check_derivable(registry: Registry, parent: Version, recipe: Recipe, name: str | None) -> str:
    """Return the name of the model that the recipe makes. Raises Conflict for a name that is taken, and BadRequest for
    an invalid name or a parent that is an adapter."""
    name = f"{parent.model}-{recipe.label()}" if name is None else name
    registry.derived.check(name, parent)
    return name


def _recipe_kinds() -> "dict[Kind, Callable[..., dict[str, Path]]]":
    from llmos.engine.compression.prune import prune  # Imports numpy and the engine.
    from llmos.engine.compression.quantize import quantize

    return {"quantize": quantize, "prune": prune}


def _warning(parent: Version, made: Version) -> str | None:
    """Return what is wrong with making this version of this parent, or None."""
    sentences = []
    if parent.quantization.removeprefix("sparse ") not in _UNQUANTIZED:
        sentences.append(
            f"{parent.ref} is already quantized ({parent.quantization}). The loss of both quantizations adds up."
        )
    before, after = (sum(file.size for file in version.files) for version in (parent, made))
    if after >= before:
        sentences.append(
            f"{made.ref} isn't smaller: {after / 1e6:,.1f} MB, of {before / 1e6:,.1f} MB. Start from the model's"
            f" original weights (BF16, F16) instead. To remove it: llmos rm {made.ref}"
        )
    return " ".join(sentences) or None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
