"""The spelling of JSON where a schema constrains it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

JSON_OPTIONS: "JsonCompileOptions" = {
    # As Python's json.dumps writes it, and most JSON that models were trained on. If any space were allowed, a model
    # might write nothing but space.
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    # A schema is prepared before it gets here: whatever is left must be enforced.
    "coerce_one_of": False,
    "lenient": False,
    # Without \u, every string has one spelling only: a name can't be respelled to get around its schema.
    "json_allowed_escapes": 'nrbtf\\"',
}
