"""Make a version from another one by a recipe: quantize it, prune it.

The work is done in a scratch folder of the store, so that a full disk, Ctrl-C or a kill leave nothing half made.
"""

import errno
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest, StoreFailed
from llmos.engine.compression.recipe import Kind, Recipe
from llmos.models.registry import Registry
from llmos.models.sources import Progress, no_progress
from llmos.models.store import digest_of
from llmos.models.versions.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

_WHOLE = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    version: Version
    was_here: bool
    """The same recipe had made it from the same parent before."""
    remark: str | None
    """What is to be known of the parent."""


def recipe_of(kind: Kind, scheme: str, options: Mapping[str, Any], text: Path | None = None) -> Recipe:
    """Return the recipe; `text` is what it calibrates on, where not what the model writes itself.

    Raises BadRequest for a scheme or an option that there is not, and for a text that can't be read.
    """
    if text is None:
        return Recipe.of(kind, scheme, options)
    if text.exists() and not text.is_file():  # what can be read once only, or never ends
        raise BadRequest(f"{text} is no plain file. Write the text into one.", param="calibration")
    try:
        digest = digest_of(text)
    except OSError as error:
        raise BadRequest(f"The text {text} can't be read: {error.strerror}.", param="calibration") from None
    return Recipe.of(kind, scheme, {**options, "calibration": digest})


def make(
    registry: Registry,
    ref: str,
    recipe: Recipe,
    *,
    name: str | None = None,
    text: Path | None = None,
    actor: str | None = None,
    progress: Progress = no_progress,
) -> Made:
    """Make a version of the model `name` (PARENT-LABEL where none is given) from the version that `ref` names.

    `text`: the one that the recipe was made with. `actor`: who makes it; by default, this process's user.
    Raises ModelNotFound, Conflict for a name that is taken, what the recipe's kind raises for a model that it can't
    take, and StoreFailed for a full disk.
    """
    parent = registry.resolve(ref)
    name = check_making(registry, parent, recipe, name)
    remark = _remark(parent)
    if (version := registry.find_made(name, parent, recipe.canonical())) is not None:
        return Made(version=version, was_here=True, remark=remark)
    carry_out = _kinds()[recipe.kind]
    with registry.store.scratch() as folder:
        try:
            files = carry_out(registry.files(parent), folder, recipe, progress, text=text)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreFailed(
                f"The disk of {registry.store.path} has no room for {name}. Nothing of it is left: free some room and"
                " try again, or choose another LLMOS_HOME."
            ) from error
        version = registry.add_made(
            name, files, parent=parent, recipe=recipe.canonical(), made_by=actor or _user(), progress=progress
        )
    return Made(version=version, was_here=False, remark=remark)


def check_making(registry: Registry, parent: Version, recipe: Recipe, name: str | None) -> str:
    """Return the name of the model that the recipe makes. Raises Conflict if the name is taken, BadRequest if no model
    can be made from `parent`."""
    name = f"{parent.model}-{recipe.label()}" if name is None else name
    registry.check_made(name, parent)
    return name


def _kinds() -> "dict[Kind, Callable[..., dict[str, Path]]]":
    from llmos.engine.compression.prune import prune  # takes numpy and the engine
    from llmos.engine.compression.quantize import quantize

    return {"quantize": quantize, "prune": prune}


def _remark(parent: Version) -> str | None:
    if parent.quantization.removeprefix("sparse ") in _WHOLE:
        return None
    return f"{parent.ref} is quantized already ({parent.quantization}): what that lost stays lost, and this adds to it."


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
