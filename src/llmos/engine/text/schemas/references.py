"""References within a schema: JSON pointers, anchors, and identifiers of the schema itself."""

from typing import Any
from urllib.parse import unquote

from llmos.engine.text.schemas.errors import SchemaError

_ANCHORS = ("$anchor", "$dynamicAnchor", "$recursiveAnchor")


class References:
    """Resolves the references of one schema. Variants of its parts, which are made on the way, have pointers too."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._base = root.get("$id") or root.get("id") or ""
        self._anchors: dict[str, str] | None = None
        self._variants: dict[str, tuple[str, Any]] = {}

    def pointer(self, reference: str) -> str:
        """Return the pointer of a reference's target, such as "/$defs/city". Raises SchemaError."""
        if reference in self._variants:
            return reference
        document, _, fragment = reference.partition("#")
        if document and not (isinstance(self._base, str) and document == self._base.partition("#")[0]):
            raise SchemaError(f"refers to {reference!r:.100}, which is outside of this schema; nothing is fetched")
        fragment = unquote(fragment)
        if not fragment or fragment.startswith("/"):
            return fragment
        if self._anchors is None:
            self._anchors = {}
            self._collect_anchors(self._root, "")
        if fragment not in self._anchors:
            raise SchemaError(f"refers to {reference!r:.100}, which this schema doesn't have")
        return self._anchors[fragment]

    def target(self, pointer: str) -> Any:
        """Return the part of the schema that a pointer leads to. Raises SchemaError."""
        if pointer in self._variants:
            return self._variants[pointer][1]
        value: Any = self._root
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (KeyError, IndexError, ValueError, TypeError):
                raise SchemaError(f"refers to '#{pointer:.100}', which this schema doesn't have") from None
        return value

    def resolve(self, schema: Any) -> tuple[Any, str | None]:
        """Follow a schema that is nothing but a reference. Return its target and the target's pointer, None for a
        schema that isn't one. Raises SchemaError."""
        pointer: str | None = None
        for _ in range(32):
            reference = reference_in(schema)
            if reference is None or len(schema) > 1 + sum(key in ("description", "title", "default") for key in schema):
                break
            pointer = self.pointer(reference)
            schema = self.target(pointer)
        return schema, pointer

    def add_variant(self, pointer: str, schema: Any, *, of: str) -> None:
        """Add a part of our own, made from the part at `of`."""
        self._variants[pointer] = (of, schema)

    def has_variant(self, pointer: str) -> bool:
        return pointer in self._variants

    def path(self, pointer: str) -> str:
        """Return the path of a part in the schema as it was sent."""
        while pointer in self._variants:
            pointer = self._variants[pointer][0]
        return pointer

    def _collect_anchors(self, value: Any, pointer: str) -> None:
        assert self._anchors is not None
        waiting = [(value, pointer)]
        while waiting:
            value, pointer = waiting.pop()
            if isinstance(value, dict):
                for key in _ANCHORS:
                    if isinstance(value.get(key), str):
                        self._anchors.setdefault(value[key], pointer)
                waiting += [(each, f"{pointer}/{escape(key)}") for key, each in value.items()]
            elif isinstance(value, list):
                waiting += [(each, f"{pointer}/{i}") for i, each in enumerate(value)]


def reference_in(schema: Any) -> str | None:
    """Return the reference that a schema has, None if it has none."""
    if not isinstance(schema, dict):
        return None
    reference = schema.get("$ref", schema.get("$dynamicRef", schema.get("$recursiveRef")))
    return reference if isinstance(reference, str) else None


def escape(key: str) -> str:
    """Return a key as it stands in a pointer."""
    return key.replace("~", "~0").replace("/", "~1")
