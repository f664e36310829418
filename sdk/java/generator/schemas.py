"""The JSON objects of the server as records of Java: one for each struct of llmos.core.schemas that a call returns."""

import ast
import datetime
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmos.core import schemas

_RESERVED = {
    "object": "object",
    "default": "defaultValue",
    "new": "newer",
    "case": "caseId",
    "class": "kind",
    "enum": "values",
}
_SIMPLE = {str: "String", int: "Long", float: "Double", bool: "Boolean", datetime.datetime: "Instant"}
_RENAMED = {("signatures", "KeyDescription"): "TrustedKeyDescription"}
_NESTED = {
    "AnswerTimings", "Citation", "EvalComparisonDescription", "JobFailure", "LikelihoodUsage", "OptionLikelihood",
    "RouteTarget", "RunResult", "RunUsage", "SearchHit", "Spread", "TargetEvidence",
}  # fmt: skip
"""Structs within others that have a record. The rest stays decoded JSON, so that the jar stays small: a record takes
more than a kilobyte in it."""
_PRIMITIVES = {"Long": "long", "Double": "double", "Boolean": "boolean"}
_IMPORTS = {
    "List": "java.util.List",
    "Map": "java.util.Map",
    "Instant": "java.time.Instant",
    "Nullable": "ai.llmos.json.Nullable",
    "Lenient": "ai.llmos.json.Lenient",
    "Default": "ai.llmos.json.Default",
    "Required": "ai.llmos.json.Required",
    "Name": "ai.llmos.json.Name",
}

_ENTITIES = {ord(c): f"&#{ord(c)};" for c in "@{}\\"} | str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

_MORE = {
    "LikelihoodDescription": """
    /** Returns the most probable option. Throws an IndexOutOfBoundsException if there are none. */
    public OptionLikelihood best() {
        return options.get(bestIndex == null ? -1 : bestIndex.intValue());
    }
""",
    "RunResult": """
    /** Returns the answer as a value of a record, or of another type that JSON is read as. */
    public <T> T as(Class<T> type) {
        return ai.llmos.json.Binding.read(output, type);
    }
""",
    "EvalRunDetails": """
    /** Returns 0 for passed, 4 for a failed gate, 5 for undecided, and 1 if nothing could be asked. */
    public int exitStatus() {
        return switch (verdict == null ? "" : verdict) {
            case "passed" -> 0;
            case "failed" -> 4;
            case "undecided" -> 5;
            default -> 1;
        };
    }
""",
}
"""Methods of records, by the record."""


_WITH_DETAILS = {
    "AnswerSummary": "AnswerDetails",
    "DatasetDescription": "DatasetDetails",
    "EvalRunDescription": "EvalRunDetails",
    "KnowledgeDescription": "KnowledgeDetails",
    "ModelDescription": "VersionDetails",
}
"""Structs of lists, which have the record of the struct with details: its further fields are empty in a list."""


def schema_files(names: Iterable[str]) -> dict[str, str]:
    """Return the records with these names, and all that they contain."""
    every = _structs()
    files: dict[str, str] = {}
    waiting = [every[name] for name in names if name != "Object"]
    while waiting:
        struct = waiting.pop()
        struct = every.get(_WITH_DETAILS.get(struct_name(struct), ""), struct)
        if struct_name(struct) not in files:
            files[struct_name(struct)] = _record(struct)
            waiting += _inner_structs(struct)
    return files


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def struct_name(struct: type[msgspec.Struct]) -> str:
    """Return the name of the record. Two modules may each have a struct of one name."""
    return _RENAMED.get((struct.__module__.rpartition(".")[2], struct.__name__), struct.__name__)


def record_name(name: str) -> str:
    """Return the record that a call returns for a struct."""
    return _WITH_DETAILS.get(name, name)


def java_type(kind: Any) -> str:
    """Return the type of Java for a type of Python, boxed."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        name = struct_name(kind)
        return name if name in _NESTED else "Map<String, Object>"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "String"
    if origin in (list, tuple, Sequence) or kind is list:
        return f"List<{java_type(arguments[0]) if arguments else 'Object'}>"
    if origin in (dict, Mapping) or kind is dict:
        return f"Map<String, {java_type(arguments[1]) if arguments else 'Object'}>"
    if origin in (typing.Union, types.UnionType):
        given = [each for each in arguments if each not in (type(None), msgspec.UnsetType)]
        return java_type(given[0]) if len(given) == 1 else "Object"
    return "Object"


def imports_of(text: str, more: Mapping[str, str] = types.MappingProxyType({})) -> str:
    """Return the import lines that a text needs."""
    words = set(re.findall(r"\w+", text))
    lines = sorted(f"import {path};" for name, path in {**_IMPORTS, **more}.items() if name in words)
    return "\n".join(lines) + "\n\n" if lines else ""


def java_doc(text: str) -> str:
    """Return a text as the content of a comment: nothing in it is a tag, or ends the comment."""
    plain = (
        " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*/", "*&#47;")
    )
    plain = plain.replace("@", "&#64;").replace("{", "&#123;").replace("}", "&#125;").replace("\\", "&#92;")
    parts = plain.split("`")
    return "".join(part if index % 2 == 0 else f"<code>{part}</code>" for index, part in enumerate(parts))


def _structs() -> dict[str, type[msgspec.Struct]]:
    found: dict[str, type[msgspec.Struct]] = {}
    for module_info in pkgutil.iter_modules(schemas.__path__):
        module = importlib.import_module(f"{schemas.__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__:
                java_name = struct_name(value)
                assert java_name not in found, f"two structs are named {java_name}"
                found[java_name] = value
    return found


def _inner_structs(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for hint in typing.get_type_hints(struct).values():
        yield from _structs_in(hint)


def _structs_in(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and struct_name(hint) in _NESTED:
        yield hint
    for argument in typing.get_args(hint):
        yield from _structs_in(argument)


def _record(struct: type[msgspec.Struct]) -> str:
    hints, docs = typing.get_type_hints(struct), _field_docs(struct)
    fields = msgspec.structs.fields(struct)
    components = ",\n        ".join(_component(field, hints[field.name]) for field in fields)
    params = [f" * @param {_java_name(each.encode_name)} {docs[each.name]}" for each in fields if each.name in docs]
    first = java_doc(inspect.getdoc(struct) or "") if struct.__dict__.get("__doc__") else ""
    first = first if first else f"The JSON object {struct.__name__}."
    comment = "\n".join(["/**", f" * {first}", *([" *"] if params else []), *params, " */"])
    body = (
        f"@Lenient\npublic record {struct_name(struct)}(\n        {components}) {{{_MORE.get(struct.__name__, '')}}}\n"
    )
    return f"{imports_of(body)}{comment}\n{body}"


def _java_name(name: str) -> str:
    return _RESERVED.get(name, camel(name))


def _component(field: Any, hint: Any) -> str:
    kind, name = java_type(hint), _java_name(field.encode_name)
    arguments = typing.get_args(hint)
    is_nullable = hint is Any or type(None) in arguments or msgspec.UnsetType in arguments or kind == "Object"
    marks = []
    if _with_underscores(name) != field.encode_name:
        marks.append(f'@Name("{field.encode_name}")')
    if is_nullable:
        marks.append("@Nullable")
    else:
        kind = _PRIMITIVES.get(kind, kind)
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
            marks.append("@Required")
        elif isinstance(default, str | int | float | bool) and default:
            marks.append(f"@Default({json.dumps(json.dumps(default))})")
    return " ".join([*marks, kind, name])


def _with_underscores(name: str) -> str:
    """Return what RecordShape.withUnderscores of Java does."""
    return "".join(f"_{c.lower()}" if c.isupper() and index else c.lower() for index, c in enumerate(name))


def _field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the text below each field, also of the structs that this one is made from."""
    docs: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if kind.__module__.startswith(schemas.__name__):
            docs |= docs_in(inspect.getsource(kind))
    return docs


def docs_in(source: str) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        is_text = (
            isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        )
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            docs[field.target.id] = java_doc(text.value.value)  # type: ignore[attr-defined]
    return docs
