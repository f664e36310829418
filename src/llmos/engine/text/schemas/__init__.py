"""JSON schemas, prepared for the grammar library: what it can enforce stays, in words that it knows."""

from llmos.engine.text.schemas.errors import SchemaError, short_path
from llmos.engine.text.schemas.options import JSON_OPTIONS
from llmos.engine.text.schemas.patterns import with_ascii_classes
from llmos.engine.text.schemas.preparation import Site
from llmos.engine.text.schemas.validation import SchemaValidator
from llmos.engine.text.schemas.walk import PreparedSchema, prepare_schema

__all__ = [
    "JSON_OPTIONS",
    "PreparedSchema",
    "SchemaError",
    "SchemaValidator",
    "Site",
    "prepare_schema",
    "short_path",
    "with_ascii_classes",
]
