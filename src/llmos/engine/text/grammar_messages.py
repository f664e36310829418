"""Plain words for the reasons that the grammar library gives against a grammar."""

import re

_PLACE = re.compile(r"^(at \d+\(\d+\): )?(failed to compile JSON schema: )?")
_EXCERPT = re.compile(r"\n\s*\d+ \| ")
"""The beginning of the library's quotation of the grammar."""
_STATE = ("<state>", "<non-verbose/>", "<backtrace>", "\n  while processing")
_KNOWN = (
    (r"NoExtension(Bias)?$|$", "nothing matches it"),
    (r"Unsatisfiable schema: Regex is empty", "nothing matches its pattern, format and lengths together"),
    (r"Unsatisfiable schema: (.*)", r"nothing matches it: \1"),
    (r"Failed to generate regex for (?:integer|float) range", "its range of numbers can't be enforced"),
    (r"circular references with sibling keys", "a reference that leads back to itself has other keywords beside it"),
    (r"patternProperty regexes .* are not disjoint", "two of its `patternProperties` may match the same name"),
    (r".*Too many items", "it allows too many combinations"),
    (r"min/maxProperties only supported", "`minProperties` and `maxProperties` count only required properties"),
    (r".*lookarounds not supported", "its expression has an anchor in its middle, or a word boundary"),
    (r"(?:.*in regex\): )?regex parse error:.*error: (.*)", r"its expression is invalid: \1"),
)


def plain_reason(error: str) -> str:
    """Return the library's reason on one line, without its dumps."""
    for mark in _STATE:
        error = error.partition(mark)[0]
    error = _EXCERPT.split(error)[0]
    error = " ".join(_PLACE.sub("", error).split()).rstrip(".")
    for pattern, words in _KNOWN:
        if found := re.match(pattern, error):
            error = found.expand(words)
            break
    return error[:300]
