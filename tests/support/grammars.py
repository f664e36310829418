"""A JSON schema as a grammar, and requests whose answers must match a grammar."""

import json

from llmos.engine.messages import Generate, Grammar, SamplingParams

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
PERSON_GRAMMAR = Grammar("json_schema", json.dumps(PERSON))


def ask(grammar, id="r", tokens=(1, 2, 3), **sampling):
    options = {"temperature": 0.0, "max_tokens": 200} | sampling
    return Generate(id=id, tokens=list(tokens), grammar=grammar, sampling=SamplingParams(**options))
