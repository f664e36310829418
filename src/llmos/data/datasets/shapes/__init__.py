"""Shapes: the ways in which files write rows, such as OpenAI's messages or ShareGPT's conversations.

Every public module in this package is a shape, found by its file name (`sharegpt` -> sharegpt.py). To add one, add a
module with a `SHAPE`. Fields that a shape doesn't name are left out; an import says which ones.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.data.datasets.contents import Content, Kind
from llmos.data.datasets.rows import Consent


class Columns(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The columns beside a content, which exports write and imports read as the field `llmos` of a record."""

    origin: str | None = None
    language: str | None = None
    license: str | None = None
    consent: Consent | None = None
    subject: str | None = None
    split: str | None = None


class Fields(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The base of what one record has."""

    llmos: Columns | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    name: str
    title: str
    """The name that people use."""
    kind: Kind
    fields: type[Fields]
    """The fields of one record."""
    fits: Callable[[Mapping[str, Any]], bool]
    """Return whether a record, as a JSON object, looks like this shape."""
    read: Callable[[Any], Content]
    """Return the content of a record, an instance of `fields`. Raises BadRequest."""
    write: Callable[[Any], dict[str, Any]]
    """Return the record of a content as a JSON object. Raises BadRequest for what this shape can't say."""
    rank: int = 0
    """Shapes with a lower rank are asked first whether they fit."""


@cache
def shapes() -> Mapping[str, Shape]:
    """Return every shape by its name, those that are asked first coming first."""
    modules = [import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__) if each.name[0] != "_"]
    found: list[Shape] = [module.SHAPE for module in modules]
    return {shape.name: shape for shape in sorted(found, key=lambda shape: (shape.rank, shape.name))}


def shape_named(name: str) -> Shape:
    """Return a shape. Raises BadRequest with the nearest name."""
    if (found := shapes().get(name)) is not None:
        return found
    meant = nearest(name, shapes(), limit=1)
    advice = f"Did you mean {meant[0]}?" if meant else f"It is one of {', '.join(shapes())}."
    raise BadRequest(f"There is no shape {name[:80]!r}. {advice}", param="as")


def recognize(records: Collection[Mapping[str, Any]], where: str) -> Shape:
    """Return the shape that most of the records fit: some may be bad.

    Raises BadRequest, with the columns that there are, where none fits half of them.
    """
    counts = {shape.name: sum(map(shape.fits, records)) for shape in shapes().values()}
    name = max(counts, key=counts.__getitem__)  # the first one of those that fit as many
    if 2 * counts[name] >= len(records) > 0:
        return shapes()[name]
    columns = list(dict.fromkeys(name for record in records for name in record))
    raise BadRequest(
        f"{where} has no known shape. Its columns are {', '.join(columns[:20]) or 'none'}. Name the"
        " shape: --as SHAPE, and --map FIELD=COLUMN for each field of the shape, such as --as case --map"
        f" input=question --map expected=answer. The shapes are {', '.join(shapes())}.",
        param="as",
    )


def left_out(shape: Shape, record: Mapping[str, Any]) -> list[str]:
    """Return the columns of a record that the shape doesn't read."""
    known = set(shape.fields.__struct_encode_fields__)
    return [name for name in record if name not in known]
