"""The output that commands about nouns with versions share: lists, the facts of one version, and what was removed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from llmos.cli.output import print_facts, print_json, print_table, readable_size, stderr, stdout
from llmos.core.schemas.models import RemovalDescription

D = TypeVar("D")


def print_versions(
    found: Sequence[D],
    columns: Mapping[str, str],
    readable: Callable[[D], Mapping[str, Any]],
    *,
    none: str,
    as_json: bool,
) -> None:
    """Print versions as a table with these columns, or as JSON; `none`: what is said where there are none."""
    if as_json:
        print_json(found)
    elif not found:
        stderr().print(none)
    else:
        print_table([readable(each) for each in found], columns)


def print_known_facts(facts: Mapping[str, Any]) -> None:
    """Print the facts of a version that it has."""
    print_facts({name: value for name, value in facts.items() if value not in ([], {}, "", None)})


def print_removed(name: str, removed: RemovalDescription, *, as_json: bool, frees: bool = True) -> None:
    """Print what was removed under a name. `frees`: with the bytes that this freed."""
    if as_json:
        print_json(removed)
        return
    aliases = [f"the alias {name.partition(':')[0]}:{alias}" for alias in removed.aliases]
    freed = f"; {readable_size(removed.freed_bytes)} freed" if frees else ""
    stdout().print(f"Removed {', '.join([*removed.versions, *aliases])}{freed}.")
