"""Random JSON schemas of all drafts' words, as hypothesis strategies."""

from hypothesis import strategies as st

NAMES = ["a", "b", "kind", "x y", "é"]
PATTERNS = [
    "^[a-c]+$", "x", r"^\d{2,4}$", r"^\w+$", r"^\S*$", "^(?!a).{1,3}$", "^(?=.*b)[ab]+$", r"^(?!.*--)[a-]+$", r"\bx\b",
    r"(?<=a)b", "^(a|b)$|^c$", r"^[^\s/]+$", r"^\p{Lu}", r"^(a)\1$", "[", "^.$", r"^\$", "^a{,3}$",
]  # fmt: skip
NAME_PATTERNS = ["^a", "b$", "^(?!a)", r"^\d+$"]
NAME_SCHEMAS = [{"type": "string"}, {"enum": ["a", "c"]}, {"pattern": "^[ab]"}, {"maxLength": 1}, {"format": "uuid"}]
FORMATS = ["date", "time", "date-time", "uuid", "email", "ipv4", "uri", "password", "starts_with", "duration", "regex"]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["a", "b", "", "é", 'q"', 1.5, 2**60, -0.25])
)
BOUNDS = st.one_of(
    st.integers(-20, 20),
    st.floats(-20, 20, allow_nan=False).map(lambda x: round(x, 3)),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, -(2**63), 9223372036854776000, 18446744073709552000, 3.4e38, 1e-9]),
)


def optional(keyword, values, odds=4):
    return st.integers(1, odds).flatmap(lambda n: values.map(lambda v: {keyword: v}) if n == 1 else st.just({}))


def merged(*parts):
    return st.tuples(*parts).map(lambda dicts: {key: value for each in dicts for key, value in each.items()})


ANNOTATIONS = st.sampled_from(
    [{}, {}, {"title": "T", "description": "d" * 40}, {"default": None, "examples": [1]}, {"x-odd": {"not": {}}},
     {"deprecated": True, "readOnly": True}, {"required": None}, {"enum": None, "nullable": True}]
)  # fmt: skip
STRINGS = merged(
    st.just({"type": "string"}),
    optional("minLength", st.integers(0, 3)),
    optional("maxLength", st.sampled_from([0, 1, 2, 3, 5, 2**31])),
    optional("pattern", st.sampled_from(PATTERNS), 2),
    optional("format", st.sampled_from(FORMATS)),
    optional("not", st.sampled_from([{"const": "a"}, {"enum": ["", "b"]}, {"type": "null"}]), 8),
)
NUMBERS = merged(
    st.sampled_from([{"type": "integer"}, {"type": "number"}, {"type": ["integer", "null"]}]),
    optional("minimum", BOUNDS, 2),
    optional("maximum", BOUNDS, 3),
    optional("exclusiveMinimum", st.one_of(BOUNDS, st.booleans()), 6),
    optional("exclusiveMaximum", BOUNDS, 6),
    optional("multipleOf", st.sampled_from([1, 2, 0.5, 0.25, 5, 10**7, 0.07]), 6),
)
LEAVES = st.one_of(
    STRINGS,
    NUMBERS,
    st.sampled_from([{}, True, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"type": "any"}]),
    VALUES.map(lambda value: {"const": value}),
    st.lists(VALUES, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.sampled_from([{"$ref": "#"}, {"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/none"}, {"$ref": "https://x.y/z"}]),
)


def objects(inner):
    properties = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    return merged(
        st.just({"type": "object"}),
        properties.map(lambda each: {"properties": each}),
        optional("required", st.lists(st.sampled_from(NAMES), max_size=2, unique=True), 2),
        optional("additionalProperties", st.one_of(st.just(False), inner), 2),
        optional("patternProperties", st.dictionaries(st.sampled_from(NAME_PATTERNS), inner, max_size=2)),
        optional("propertyNames", st.sampled_from(NAME_SCHEMAS)),
        optional("minProperties", st.integers(0, 2), 5),
        optional("maxProperties", st.integers(0, 3), 5),
        optional("dependentRequired", st.just({"a": ["b"]}), 8),
        optional("not", st.sampled_from([{"required": ["a"]}, {"type": "string"}, {"minProperties": 3}]), 8),
        optional("unevaluatedProperties", st.booleans(), 8),
        optional("oneOf", st.just([{"required": ["a"]}, {"required": ["b"]}]), 8),
        st.sampled_from([{}, {}, {}, {
            "if": {"properties": {"kind": {"const": "s"}}},
            "then": {"required": ["a"]},
            "else": {"required": ["b"]},
        }]),
    )  # fmt: skip


def arrays(inner):
    return merged(
        st.just({"type": "array"}),
        optional("items", st.one_of(inner, st.lists(inner, max_size=2)), 2),
        optional("prefixItems", st.lists(inner, max_size=2)),
        optional("additionalItems", st.booleans(), 5),
        optional("minItems", st.integers(0, 2)),
        optional("maxItems", st.integers(0, 4)),
        optional("uniqueItems", st.booleans()),
        optional("contains", inner, 8),
        optional("unevaluatedItems", st.booleans(), 8),
    )


def unions(inner):
    tagged = st.lists(st.sampled_from("pqrs"), min_size=1, max_size=3, unique=True).flatmap(
        lambda tags: st.tuples(*(objects(inner) for _ in tags)).map(
            lambda made: {
                "oneOf": [
                    {**each, "properties": {"kind": {"const": tag}, **each["properties"]}}
                    for tag, each in zip(tags, made, strict=True)
                ],
                "discriminator": {"propertyName": "kind"},
            }
        )
    )
    return st.one_of(
        tagged,
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"oneOf": each}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"allOf": each}),
    )


def with_annotations(schemas):
    return st.tuples(schemas, ANNOTATIONS).map(
        lambda pair: {**pair[1], **pair[0]} if isinstance(pair[0], dict) else pair[0]
    )


SCHEMAS = st.tuples(
    st.recursive(
        with_annotations(LEAVES),
        lambda inner: with_annotations(st.one_of(objects(inner), arrays(inner), unions(inner))),
        max_leaves=6,
    ),
    with_annotations(STRINGS | NUMBERS),
).map(lambda pair: {**(pair[0] if isinstance(pair[0], dict) else {}), "$defs": {"leaf": pair[1]}})


def as_draft_2020(schema):
    """Return a schema without the words of older drafts and the mistakes that are read kindly."""
    if isinstance(schema, list):
        return [as_draft_2020(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: each if key in ("enum", "const") else as_draft_2020(each)
        for key, each in schema.items()
        if each is not None or key == "const"
    }
    if made.get("type") == "any":
        del made["type"]
    if isinstance(made.get("items"), list):
        made["prefixItems"] = made.pop("items")
        if "additionalItems" in made:
            made["items"] = made.pop("additionalItems")
    if isinstance(is_exclusive := made.get("exclusiveMinimum"), bool):
        del made["exclusiveMinimum"]
        if is_exclusive and "minimum" in made:
            made["exclusiveMinimum"] = made.pop("minimum")
    return made
