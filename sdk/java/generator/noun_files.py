"""The classes of the Java client for the nouns of nouns.py, and for the settings that their calls take."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import is_typeddict

from nouns import SETTINGS, VERSIONED, Noun
from schemas import camel, docs_in, imports_of, java_doc, java_type, record_name

from llmos import client

_IMPORTS = {
    "Consumer": "java.util.function.Consumer",
    "Path": "java.nio.file.Path",
    "Message": "ai.llmos.Message",
    "Page": "ai.llmos.Page",
    "EventStream": "ai.llmos.EventStream",
    "Settings": "ai.llmos.Settings",
    "Transport": "ai.llmos.internal.Transport",
}
_JAVA_TYPES = {"Weights": "Map<String, ? extends Number>", "Messages": "List<Message>"}
_VALUES = {"Weights": "weights({})", "Messages": "Message.toMaps({})"}
_WHOLE_REPLIES = {"map": "Map<String, Object>"}

_USES_SCHEMAS = re.compile(r"\b(?:one|each|page|ids)\((\w+)\.class")


@dataclass(frozen=True, slots=True)
class Parameter:
    place: str
    """path, body, query or all."""
    key: str
    name: str
    kind: str
    is_optional: bool

    @property
    def type(self) -> str:
        if self.place == "all" and self.kind in SETTINGS:
            return f"Consumer<{self.kind}>"
        return _JAVA_TYPES.get(self.kind, self.kind.replace(",", ", "))

    @property
    def value(self) -> str:
        """The Java expression of the value that is sent."""
        shown = _VALUES.get(self.kind, "{}").format(self.name)
        return f"{self.name} == null ? null : {shown}" if self.is_optional and shown != self.name else shown


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    method: str
    path: str
    result: str
    parameters: tuple[Parameter, ...]
    doc: str

    @property
    def schema(self) -> str:
        return self.result.split()[-1]

    @property
    def type(self) -> str:
        """The Java type of the result."""
        kind, _, schema = self.result.rpartition(" ")
        if kind == "each":
            return f"List<{schema}>"
        if kind in ("page", "ids"):
            return f"Page<{schema}>"
        return {"texts": "List<String>"}.get(kind, _WHOLE_REPLIES.get(schema, schema))

    def variants(self) -> list[tuple[Parameter, ...]]:
        """Return the parameters of each method of this name: without what may be left out, and with all of it."""
        required = tuple(each for each in self.parameters if not _may_be_left_out(each))
        return [required] if required == self.parameters else [required, self.parameters]


@dataclass(frozen=True, slots=True)
class NounFiles:
    files: dict[str, str]
    schemas: list[str]


def noun_files(nouns: Sequence[Noun]) -> NounFiles:
    files, schemas = {}, []
    for noun in nouns:
        operations = operations_of(noun)
        files[noun.name] = _blocking(noun, operations)
        schemas += [each.schema for each in operations if _has_schema(each)]
    files["Nouns"] = _accessors(nouns)
    return NounFiles(files, sorted(set(schemas)))


def operations_of(noun: Noun) -> list[Operation]:
    return [_operation(line) for line in noun.lines.strip().splitlines()]


def settings_files() -> dict[str, str]:
    return {name: _settings(name, kind) for name, kind in _settings_in_python().items()}


def _settings_in_python() -> dict[str, type]:
    """Return the class of each settings: the one in the module of llmos.client that defines it."""
    found = {}
    for each in pkgutil.iter_modules(client.__path__):
        if each.name.endswith("_calls"):
            module = importlib.import_module(f"{client.__name__}.{each.name}")
            found |= {name: value for name, value in vars(module).items() if is_typeddict(value)}
    return {name: found[name] for name in SETTINGS}


def _has_schema(operation: Operation) -> bool:
    return operation.schema[0].isupper()


def _may_be_left_out(parameter: Parameter) -> bool:
    return parameter.is_optional or (parameter.place == "all" and parameter.kind in SETTINGS)


def _operation(line: str) -> Operation:
    name, request, result, parameters, doc = (part.strip() for part in line.split("|"))
    method, path = request.split()
    found = [
        Parameter("path", key, camel(key), kind or "name", False)
        for key, kind in re.findall(r"\{(\w+):?(\w*)\}", path)
        if key != "root"
    ]
    found += [_parameter(each) for each in re.split(r", (?=body |query |all )", parameters) if each]
    kind, space, schema = result.rpartition(" ")
    return Operation(name, method, path, f"{kind}{space}{record_name(schema)}", tuple(found), doc)


def _parameter(text: str) -> Parameter:
    place, named = text.split(" ", 1)
    key, kind = named.split(":", 1)
    key, _, name = key.partition("=")
    return Parameter(place, key, name or camel(key), kind.removesuffix("?"), kind.endswith("?"))


# The nouns of the clients


def _accessors(nouns: Sequence[Noun]) -> str:
    methods = "\n".join(
        f"    /** {java_doc(each.doc)} */\n    public final {each.name} {each.accessor}() {{\n"
        f"        return new {each.name}(transport);\n    }}\n"
        for each in nouns
        if each.accessor
    )
    return f"""import ai.llmos.internal.Transport;

/** The nouns of a server. */
public abstract class Nouns {{
    /** Runs the calls. */
    protected final Transport transport;

    /** Makes it; the client does. */
    protected Nouns(Transport transport) {{
        this.transport = transport;
    }}

{methods}}}
"""


# With blocking calls


def _blocking(noun: Noun, operations: Iterable[Operation]) -> str:
    is_base = noun.lines is VERSIONED
    methods = "\n".join(_method(operation, each) for operation in operations for each in operation.variants())
    root = f', "{noun.root}"' if noun.root else ""
    fields = "    private final String root;\n\n" if is_base else ""
    parameters, arguments, more = "Transport transport", f"transport{root}", ""
    if is_base:
        parameters, arguments, more = "Transport transport, String root", "transport", "        this.root = root;\n"
    visibility = "protected" if is_base else "public"
    constructor = (
        f"    /** Makes it; the client does. */\n    {visibility} {noun.name}({parameters}) {{\n"
        f"        super({arguments});\n{more}    }}\n"
    )
    kind = "public abstract class" if is_base else "public final class"
    body = f"{kind} {noun.name} extends {noun.base} {{\n{fields}{constructor}\n{methods}}}\n"
    return f"{_imports(body)}/** {java_doc(noun.doc)} */\n{body}"


def _imports(body: str) -> str:
    lines = imports_of(body, _IMPORTS)
    return f"import ai.llmos.schemas.*;\n{lines or chr(10)}" if _USES_SCHEMAS.search(body) else lines


def _method(operation: Operation, parameters: tuple[Parameter, ...]) -> str:
    signature = ", ".join(f"{_plain(each)} {each.name}" for each in parameters)
    doc = f"    /** {java_doc(operation.doc)} */\n"
    head = f"{doc}    public {operation.type} {operation.name}({signature}) {{\n"
    if parameters != operation.parameters:
        settings = [each for each in operation.parameters if each not in parameters and each.place == "all"]
        if settings:
            names = [each.name if each in parameters else "given -> {}" for each in operation.parameters]
            returned = "" if operation.type == "void" else "return "
            return f"{head}        {returned}{operation.name}({', '.join(names)});\n    }}\n"
    return f"{head}        {_request(operation, parameters)}\n    }}\n"


def _plain(parameter: Parameter) -> str:
    if parameter.place == "path":
        return "long" if parameter.kind == "long" else "String"
    return parameter.type


def _request(operation: Operation, parameters: tuple[Parameter, ...]) -> str:
    path, fields = _path(operation), _fields(parameters)
    kind, _, schema = operation.result.rpartition(" ")
    if kind in ("page", "ids"):
        return f"return {kind}({schema}.class, {path}, {fields});"
    if operation.method in ("GET", "DELETE"):
        path, body = (path if fields == "fields()" else f"{path} + query({fields})"), "null"
    else:
        body = fields
    arguments = f'"{operation.method}", {path}, {body}'
    if operation.result == "void":
        return f"none({arguments});"
    if kind == "texts":
        return f'return texts("{schema}", {arguments});'
    if operation.result == "map":
        return f"return map({arguments});"
    return f"return {kind or 'one'}({schema}.class, {arguments});"


def _path(operation: Operation) -> str:
    parts = []
    for text, key, kind in re.findall(r"([^{]*)(?:\{(\w+):?(\w*)\})?", operation.path):
        if text:
            parts.append(f'"{text}"')
        if key:
            parts.append(_segment(key, kind))
    return " + ".join(parts)


def _segment(key: str, kind: str) -> str:
    if key == "root":
        return "root"
    function = {"ref": "ref", "path": "path", "long": ""}.get(kind, "segment")
    return f"{function}({camel(key)})" if function else camel(key)


def _fields(parameters: Iterable[Parameter]) -> str:
    given = [each for each in parameters if each.place in ("body", "query")]
    pairs = ", ".join(f'"{each.key}", {each.value}' for each in given)
    settings = [each for each in parameters if each.place == "all"]
    if not settings:
        return f"fields({pairs})"
    (only,) = settings
    merged = f"Settings.of(new {only.kind}(), {only.name}).toMap()" if only.kind in SETTINGS else only.name
    return f"merged({merged}{', ' + pairs if pairs else ''})"


# Settings


def _settings(name: str, kind: type) -> str:
    docs = docs_in(inspect.getsource(kind))
    hints = typing.get_type_hints(kind)
    methods = "\n".join(_setter(name, key, hint, docs.get(key, "")) for key, hint in hints.items())
    body = f"public final class {name} extends Settings {{\n{methods}}}\n"
    doc = java_doc(inspect.getdoc(kind) or "")
    return f"{imports_of(body, _IMPORTS)}/** {doc} */\n{body}"


def _setter(owner: str, key: str, hint: object, doc: str) -> str:
    kind = java_type(_stripped(hint))
    kind = {"Long": "long", "Double": "double", "Boolean": "boolean"}.get(
        kind, kind.replace("Map<String, Object>", "Map<String, ?>")
    )
    if kind == "List<Map<String, ?>>":
        kind = "List<? extends Map<String, ?>>"
    comment = f"    /** {doc} */\n" if doc else f"    /** Sets {key}. */\n"
    head = f"{comment}    public {owner} {camel(key)}({kind} value) {{\n"
    return f'{head}        put("{key}", value);\n        return this;\n    }}\n'


def _stripped(hint: object) -> object:
    """Return a type without None."""
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    is_optional = type(None) in typing.get_args(hint)
    return arguments[0] if is_optional and len(arguments) == 1 else hint
