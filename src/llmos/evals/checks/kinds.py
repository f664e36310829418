"""The kinds of checks, and reading one."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.evals.checks.asking import ASKING
from llmos.evals.checks.check import Check, Kind, number_of, wrong
from llmos.evals.checks.figures import FIGURES
from llmos.evals.checks.texts import TEXTS

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*TEXTS, *FIGURES, *ASKING)}
_NEGATION = "not_"


def read_check(name: str, value: Any, where: str, *, weight: Any = 1) -> list[Check]:
    """Return the checks that a name and a value stand for: one for each item of a list where the kind takes one.

    `where`: the place in the suite, which errors begin with. Raises BadRequest for an unknown name, with the nearest
    one, and for a value that no answer could have.
    """
    negated = name.startswith(_NEGATION)
    kind = KINDS.get(name.removeprefix(_NEGATION))
    if kind is None:
        raise BadRequest(f"{where}: there is no check `{name:.40}`. {_advice(name)}", param="checks")
    items = value if kind.splits and isinstance(value, list) else [value]
    if not items:
        raise BadRequest(f"{where}: `{name}` is an empty list. Leave it out.", param="checks")
    try:
        heavy = number_of(weight, least=0)
        return [Check(kind=kind, value=kind.read(each), negated=negated, weight=heavy) for each in items]
    except ValueError as error:
        raise wrong(where, name, error) from None


def _advice(name: str) -> str:
    known = [*KINDS, *(f"{_NEGATION}{each}" for each in KINDS)]
    if near := nearest(name.replace("-", "_"), known, 1):
        return f"Did you mean `{near[0]}`?"
    return f"The checks are {', '.join(KINDS)}, each with {_NEGATION} before it for the opposite."
