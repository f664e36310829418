"""Reading the judges of a suite.

judges:
  polite:
    model: smollm2
    version: smollm2@1
    question: Is the answer polite?
    labelled:
      - {input: Where is my order?, answer: It arrives tomorrow., passes: true}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from llmos.core.errors import BadRequest
from llmos.evals.suites import Judge, LabelledAnswer

_FIELDS = ("model", "version", "question", "labelled")


class _Places(Protocol):
    def at(self, *path: str | int) -> str: ...

    def check_fields(self, value: Any, known: Sequence[str], *path: str | int) -> dict[str, Any]: ...


def read_judges(given: Any, places: _Places) -> Mapping[str, Judge]:
    """Return the judges by name. Raises BadRequest for one whose version isn't pinned."""
    if not isinstance(given, dict):
        raise BadRequest(f"{places.at('judges')}: `judges` must be an object: the name of each, with its model.")
    judges = {}
    for name, value in given.items():
        fields = places.check_fields(value, _FIELDS, "judges", name)
        where = places.at("judges", name)
        for needed in ("model", "version", "question"):
            if not isinstance(fields.get(needed), str) or not fields[needed]:
                raise BadRequest(f"{where}: the judge {name!r} needs `{needed}`, a text.")
        try:
            labelled = msgspec.convert(fields.get("labelled", []), list[LabelledAnswer])
        except msgspec.ValidationError as error:
            raise BadRequest(f"{where}: `labelled` of the judge {name!r}: {error}.") from None
        judges[name] = Judge(
            name=name,
            model=fields["model"],
            version=fields["version"],
            question=fields["question"],
            labelled=labelled,
        )
    return judges
