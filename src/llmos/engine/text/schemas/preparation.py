"""The state of one schema's preparation: its references, what was dropped, what may still fail."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llmos.engine.text.schemas.errors import SchemaError
from llmos.engine.text.schemas.references import References

Schema = dict[str, Any]


@dataclass(slots=True)
class Site:
    """Keywords of a prepared schema that the grammar library may still reject, and that can be tried alone."""

    path: str
    part: Schema
    keywords: tuple[str, ...]

    def probe(self) -> Schema:
        """Return a schema with these keywords alone."""
        return {key: self.part[key] for key in ("type", *self.keywords) if key in self.part}

    def drop(self) -> None:
        for key in self.keywords:
            self.part.pop(key, None)
        if "patternProperties" in self.keywords:
            # Names that match a pattern must not become names that nothing allows.
            self.part.pop("additionalProperties", None)


@dataclass(slots=True)
class Preparation:
    references: References
    is_strict: bool
    """A constraint that can't be enforced is an error. Otherwise it is dropped."""
    walk: "Callable[[Preparation, Any, str], Schema | bool]"
    """Prepares a part of the schema, given its path."""
    dropped: list[SchemaError] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)
    """Pointer -> the name of the definition that it became."""

    def prepare(self, schema: Any, path: str) -> Schema | bool:
        return self.walk(self, schema, path)

    def drop(self, path: str, reason: str) -> None:
        """Leave out a constraint. Raises SchemaError for a strict schema."""
        error = SchemaError(reason, path)
        if self.is_strict:
            raise error
        self.dropped.append(error)

    def reference(self, pointer: str) -> Schema:
        """Return a reference to the definition that a part of the schema becomes."""
        name = self.definitions.setdefault(pointer, f"d{len(self.definitions)}")
        return {"$ref": f"#/$defs/{name}"}

    def add_site(self, path: str, part: Schema, *keywords: str) -> None:
        if any(key in part for key in keywords):
            self.sites.append(Site(path, part, keywords))
