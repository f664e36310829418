"""The kinds of operators, one file each. No table lists them: a kind is a module of this package, and has

    VERSION   a number that is raised when the same options give another result
    Options   a struct with the options that a recipe may give
    open      (Options, Context) -> Operator

Its docstring's first line says what it does. A module whose name begins with _ is a helper.
"""

import importlib
import pkgutil
from functools import cache
from typing import cast

from llmos.data.operators.operator import Kind


@cache
def kinds() -> tuple[str, ...]:
    """Return the names of all kinds, sorted."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_")))


def load_kind(name: str) -> Kind:
    """Return the module of a kind. `name` is one of kinds()."""
    return cast(Kind, importlib.import_module(f"{__name__}.{name}"))
