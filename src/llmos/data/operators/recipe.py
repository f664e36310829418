"""Recipe: the operators of a cleaning, in order, with their options. Written in TOML, kept as JSON."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import did_you_mean
from llmos.data.operators.kinds import kinds, load_kind
from llmos.data.operators.operator import Context, Operator, Options

_EXAMPLE = '[[operator]]\nname = "normalize"'


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a recipe, checked."""

    name: str
    options: Options

    def open(self, context: Context) -> Operator:
        """Return the operator. Raises BadRequest, which names it, for what it can't use."""
        try:
            return load_kind(self.name).open(self.options, context)
        except BadRequest as error:
            raise BadRequest(f"The operator {self.name}: {error.message}", param="recipe") from None

    @property
    def as_json(self) -> dict[str, Any]:
        """The operator with its version and all options, the defaults too: what decides about the result."""
        return {"name": self.name, "version": load_kind(self.name).VERSION, **msgspec.to_builtins(self.options)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The steps of a cleaning, at least one."""

    steps: Sequence[Step]

    @property
    def as_json(self) -> dict[str, Any]:
        """The recipe as it is kept with a version, and goes into its digest."""
        return {"operators": [step.as_json for step in self.steps]}


def read_recipe(text: str) -> Recipe:
    """Return the recipe in a text of TOML. Raises BadRequest that names the operator and the option at fault."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"The recipe isn't TOML: {error}.", param="recipe") from None
    return make_recipe(tables.pop("operator", None), tables)


def make_recipe(operators: object, others: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of these operators, each a table with its name and options. Raises BadRequest as above."""
    if others:
        raise BadRequest(
            f"The recipe has {', '.join(sorted(others))[:80]}; it takes tables [[operator]] only.", param="recipe"
        )
    if not isinstance(operators, list) or not operators:
        raise BadRequest(f"The recipe has no operator. Write, for example:\n{_EXAMPLE}", param="recipe")
    return Recipe([_step(index, table) for index, table in enumerate(operators, 1)])


def _step(index: int, table: object) -> Step:
    if not isinstance(table, dict) or not isinstance(name := table.get("name"), str):
        raise BadRequest(
            f"The operator {index} of the recipe has no name. Known: {', '.join(kinds())}.", param="recipe"
        )
    if name not in kinds():
        raise BadRequest(f"There is no operator {name[:80]!r}. {did_you_mean(name, kinds())}", param="recipe")
    given = {key: value for key, value in table.items() if key not in ("name", "version")}
    kind = load_kind(name)
    if table.get("version", kind.VERSION) != kind.VERSION:
        raise BadRequest(
            f"The recipe is for version {table['version']} of {name}, and this LLMOS has version {kind.VERSION}, which"
            " gives another result. Leave `version` out to use it.",
            param="recipe",
        )
    if unknown := sorted(given.keys() - {field.name for field in msgspec.structs.fields(kind.Options)}):
        known = [field.name for field in msgspec.structs.fields(kind.Options)]
        raise BadRequest(f"{name} has no option {unknown[0][:80]!r}. {did_you_mean(unknown[0], known)}", param="recipe")
    try:
        return Step(name, msgspec.convert(given, kind.Options))
    except msgspec.ValidationError as error:
        raise BadRequest(f"The operator {name}: {error}.", param="recipe") from None
