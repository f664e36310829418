"""The arguments of a call in Gemma 4's syntax, as rules in llguidance's dialect of lark.

Made from a prepared schema (see engine/text/schemas). Names come in the order in which the chat template lists them.
What this syntax has no rules for is left out, and reported.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmos.engine.text.schemas import SchemaError
from llmos.engine.text.tools.gemma4_scanner import QUOTE

_TYPES = ("string", "number", "boolean", "null", "object", "array")
_KEYWORDS = {
    "string": {"minLength", "maxLength", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
}
_KEYWORDS["integer"] = _KEYWORDS["number"]
_COMMON = {"type", "const", "enum", "anyOf", "oneOf", "allOf", "$ref", "$defs"}
_BARE_KEY = re.compile(r'[^\s:{}\[\],<"]+')
_ANY = r"(.|\n)*"
_NO_QUOTE = rf"~/{_ANY}<\|\"\|>{_ANY}/"

Schema = Mapping[str, Any]


class ArgumentRules:
    """Rules for values that follow a schema: the rule `name` is for the value itself."""

    def __init__(self, name: str, schema: Schema | bool, tag: Callable[[str], str]) -> None:
        """`tag` returns the term for a tag, which may be a control token."""
        self.rules: list[str] = []
        self.dropped: list[SchemaError] = []
        """The constraints that the rules don't enforce."""
        self._name = name
        self._quote = tag(QUOTE)
        self._has_any = False
        self._definitions: dict[str, str] = {}
        self._schemas: Mapping[str, Any] = schema.get("$defs", {}) if isinstance(schema, Mapping) else {}
        self._add(name, self._value(schema, ""))

    def _add(self, rule: str, term: str) -> str:
        self.rules.append(f"{rule}: {term}")
        return rule

    def _new(self, term: str) -> str:
        return self._add(f"{self._name}_{len(self.rules)}", term)

    def _drop(self, path: str, keyword: str) -> None:
        self.dropped.append(SchemaError("isn't enforced in this model's syntax for calls", f"{path}/{keyword}"))

    # --- values

    def _value(self, schema: Any, path: str) -> str:
        """Return the term for a value. Nothing matches a schema that is False."""
        if schema is True or schema == {}:
            return self._any()
        if schema is False:
            return "/[^\\x00-\\u{10FFFF}]/"
        schema = self._merged(schema, path)
        if reference := schema.get("$ref"):
            self._report(schema, path, {"$ref", "$defs", "type"})
            return self._reference(str(reference).rpartition("/")[2])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                if keyword == "oneOf":
                    self._drop(path, keyword)
                return self._options(schema, keyword, path)
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            self._report(schema, path, {"const", "enum", "type"})
            return f"({' | '.join(self._literal(value) for value in values)})"
        given = schema.get("type")
        types: Sequence[str] = [given] if isinstance(given, str) else given or _TYPES
        self._report(schema, path, _COMMON.union(*(_KEYWORDS.get(each, set()) for each in types)))
        return f"({' | '.join(self._of_type(each, schema, path) for each in types)})"

    def _of_type(self, name: str, schema: Schema, path: str) -> str:
        match name:
            case "string":
                return self._string(schema, path)
            case "number" | "integer":
                bounds = {key: schema[key] for key in _KEYWORDS["number"] if key in schema}
                return self._new("%json " + json.dumps({"type": name, **bounds}))
            case "boolean":
                return '"true" | "false"'
            case "null":
                return '"null"'
            case "object":
                return self._object(schema, path)
            case _:
                return self._array(schema, path)

    def _any(self) -> str:
        """Return the rule for a value of any kind."""
        any_value = f"{self._name}_any"
        if not self._has_any:
            self._has_any = True
            pair, number = f"{any_value}_key ':' {any_value}".replace("'", '"'), f"{any_value}_number"
            self._add(f"{any_value}_key", r'/[^\s:{}\[\],<"]+/')
            self._add(number, '%json {"type": "number"}')
            self._add(
                any_value,
                f'{self._string({}, "")} | {number} | "true" | "false" | "null"'
                f' | "{{" ({pair} ("," {pair})*)? "}}" | "[" ({any_value} ("," {any_value})*)? "]"',
            )
        return any_value

    def _reference(self, name: str) -> str:
        if name not in self._definitions:
            rule = self._definitions[name] = f"{self._name}_def_{len(self._definitions)}"
            self._add(rule, self._value(self._schemas.get(name, True), f"/$defs/{name}"))
        return self._definitions[name]

    def _options(self, schema: Schema, keyword: str, path: str) -> str:
        rest = {key: each for key, each in schema.items() if key not in (keyword, "$defs")}
        terms = []
        for i, option in enumerate(schema[keyword]):
            where = f"{path}/{keyword}/{i}"
            if option is False:
                continue
            merged = dict(option) if isinstance(option, Mapping) else {}
            for key, each in rest.items():
                if merged.setdefault(key, each) != each and key != "type":
                    self._drop(path, key)
            terms.append(self._new(self._value(merged, where)))
        return f"({' | '.join(terms)})" if terms else self._value(False, path)

    def _merged(self, schema: Schema, path: str) -> dict[str, Any]:
        """Return the schema with what its allOf demands, as far as that is not demanded twice."""
        merged = {key: each for key, each in schema.items() if key != "allOf"}
        for i, part in enumerate(schema.get("allOf", ())):
            for key, each in (part if isinstance(part, Mapping) else {}).items():
                if merged.setdefault(key, each) != each:
                    self._drop(f"{path}/allOf/{i}", key)
        return self._merged(merged, path) if "allOf" in merged else merged

    def _report(self, schema: Schema, path: str, known: set[str]) -> None:
        for key in schema:
            if key not in known:
                self._drop(path, key)

    # --- strings and literals

    def _string(self, schema: Schema, path: str) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", "")
        conditions = [f"/(.|\\n){{{low},{high}}}/" if low or high != "" else f"/{_ANY}/"]
        if "pattern" in schema:
            expression = _whole(schema["pattern"])
            if expression is None:
                self._drop(path, "pattern")
            else:
                conditions.append(f"/{expression}/")
        if self._quote.startswith("<["):
            content = f"{self._name.upper()}_TEXT_{len(self.rules)}"
            self._add(content, " & ".join([*conditions, _NO_QUOTE]))
            return f"{self._quote} {content} {self._quote}"
        # The first closing quote ends the string.
        content = f"{self._name.upper()}_TEXT_{len(self.rules)}"
        self._add(content, " & ".join(conditions))
        closed = f"{self._name}_string_{len(self.rules)}"
        self._add(f"{closed}[lazy]", f"{content} {self._quote}")
        return f"{self._quote} {closed}"

    def _literal(self, value: Any) -> str:
        """Return the term for exactly this value."""
        if isinstance(value, str):
            return f"{self._quote} {_text(value)} {self._quote}" if value else f"{self._quote} {self._quote}"
        if isinstance(value, Mapping):
            pairs = [f'{self._key(key)} ":" {self._literal(each)}' for key, each in _in_order(value)]
            return ' "," '.join(["", *pairs]).removeprefix(' "," ').join(['"{" ', ' "}"'])
        if isinstance(value, list):
            return ' "," '.join(self._literal(each) for each in value).join(['"[" ', ' "]"'])
        return _text(json.dumps(value))

    def _key(self, name: str) -> str:
        return _text(name) if _BARE_KEY.fullmatch(name) else f"{self._quote} {_text(name)} {self._quote}"

    # --- objects and arrays

    def _object(self, schema: Schema, path: str) -> str:
        listed = schema.get("properties", {})
        required = set(schema.get("required", ()))
        others = schema.get("additionalProperties", True)
        # `tail`: the rest behind a property; `head`: the same where no property came before.
        tail = head = ""
        if others is not False:
            pair = f'{self._other_key(listed)} ":" {self._new(self._value(others, f"{path}/additionalProperties"))}'
            tail, head = self._new(f'("," {pair})*'), self._new(f'({pair} ("," {pair})*)?')
        for name, each in reversed([*_in_order(listed)]):
            if each is False:
                continue
            value = self._new(self._value(each, f"{path}/properties/{name}"))
            pair = f'{self._key(name)} ":" {value}'
            is_required = name in required
            head = self._new(f"{pair} {tail}" if is_required else f"{pair} {tail} | {head or _EMPTY}")
            tail = self._new(f'"," {pair} {tail}' if is_required else f'("," {pair})? {tail}')
        if missing := required - set(listed):
            self._drop(path, f"required ({', '.join(sorted(missing))})")
        return f'"{{" {head} "}}"'

    def _other_key(self, listed: Mapping[str, Any]) -> str:
        key = f"{self._name.upper()}_KEY_{len(self.rules)}"
        names = "|".join(_escaped(name) for name in listed)
        return self._add(key, r'/[^\s:{}\[\],<"]+/' + (f" & ~/({names})/" if names else ""))

    def _array(self, schema: Schema, path: str) -> str:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        if high == 0:
            return '"[" "]"'
        item = self._new(self._value(schema.get("items", True), f"{path}/items"))
        more = f'("," {item}){{{max(0, low - 1)},{"" if high is None else high - 1}}}'
        return f'"[" {item} {more} "]"' if low else f'"[" ({item} {more})? "]"'


_EMPTY = '""'


def _in_order(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the items as Jinja's dictsort does, with which the template renders them."""
    yield from sorted(values.items(), key=lambda item: item[0].lower())


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    return "".join(each if each.isalnum() and each.isascii() else f"\\x{{{ord(each):X}}}" for each in text)


def _whole(pattern: str) -> str | None:
    """Return an expression for whole texts that contain this pattern, in which / is escaped; None if there is no
    simple one."""
    inner = pattern.removeprefix("^")
    is_begun, is_ended = inner != pattern, inner.endswith("$") and not inner.endswith("\\$")
    inner = inner[:-1] if is_ended else inner
    without_classes = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", inner, flags=re.DOTALL)
    if "^" in without_classes or "$" in without_classes:
        return None
    if "|" in _without_groups(without_classes) and (is_begun or is_ended):
        return None  # an anchor may belong to one of several alternatives
    inner = re.sub(r"\\.|/", lambda match: "\\/" if match[0] == "/" else match[0], inner, flags=re.DOTALL)
    return f"{'' if is_begun else _ANY}({inner}){'' if is_ended else _ANY}".replace("\n", "\\n")


def _without_groups(pattern: str) -> str:
    while (shorter := re.sub(r"\([^()]*\)", "", pattern)) != pattern:
        pattern = shorter
    return pattern
