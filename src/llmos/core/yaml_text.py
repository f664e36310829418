"""YAML texts that people write: plain values only, with limits, and errors that name the line."""

from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from yaml import MappingNode, Node, SafeLoader

MAX_BYTES = 262_144

Path = tuple[str | int, ...]
"""The place of a value: the keys and indexes that lead to it."""


def read_yaml(text: str, source: str) -> Any:
    """Return the value that a YAML text holds: objects, lists, texts, numbers, booleans and null.

    Dates stay texts. `source`: what errors call it, such as the name of the file.
    Raises BadRequest for what isn't YAML, is larger than 256 KB, names a key twice, or has an alias: a few lines of
    aliases stand for more values than fit into memory.
    """
    return read_yaml_with_lines(text, source)[0]


def read_yaml_with_lines(text: str, source: str, max_bytes: int = MAX_BYTES) -> tuple[Any, Mapping[Path, int]]:
    """Return the value as read_yaml() does, and the line of each value in it, from 1."""
    import yaml

    if len(text.encode(errors="replace")) > max_bytes:
        raise BadRequest(f"{source} is larger than {max_bytes // 1024} KB. Move long texts to files of their own.")
    try:
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            return loader.construct_document(node), dict(_lines(node))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise BadRequest(f"{source}{line}: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:  # A character that YAML doesn't have.
        raise BadRequest(f"{source} isn't YAML: {str(error).splitlines()[0]}.") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{source} isn't YAML: {error}.") from None


def _lines(root: "Node") -> Iterator[tuple[Path, int]]:
    from yaml import MappingNode, SequenceNode

    waiting: list[tuple[Path, Node]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        yield path, node.start_mark.line + 1
        if isinstance(node, SequenceNode):
            waiting += [((*path, index), each) for index, each in enumerate(node.value)]
        elif isinstance(node, MappingNode):
            waiting += [((*path, key.value), each) for key, each in node.value]


def _loader() -> "type[SafeLoader]":
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # It has no types.
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark
                raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: "MappingNode", deep: bool = False) -> dict[Hashable, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands there twice", problem_mark=key.start_mark
                    )
                if key.tag != "tag:yaml.org,2002:str":
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} must be a text: put it into quotes", problem_mark=key.start_mark
                    )
                seen.add(key.value)
            values: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
            return values

    without_dates = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.yaml_implicit_resolvers = without_dates
    return Loader
