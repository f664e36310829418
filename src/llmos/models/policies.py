"""Policies: what a project demands of the versions that it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.cards.limits import LIMITS
from llmos.models.tables import PolicyRow

DEFAULT_PROJECT = "default"
"""The one project that there is."""

REQUIRE_SIGNATURE = "require_signature"

SHARES = ("max_perplexity_increase", "min_greedy_agreement")
"""Numbers that may be written in percent."""

Value = bool | float

_SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    value: Value
    updated_at: datetime
    updated_by: str | None


class Policies:
    def __init__(self, database: Database, project: str = DEFAULT_PROJECT, *, clock: Clock = utc_now) -> None:
        self._database, self._project, self._clock = database, project, clock

    def get(self, name: str) -> Value | None:
        """Return the value, None where nobody has set it: then nothing is demanded. Raises BadRequest for a name that
        there is not."""
        return self.all().get(_check_name(name))

    def all(self) -> Mapping[str, Value]:
        """The policies that are set, by name."""
        return {policy.name: policy.value for policy in self.list()}

    def list(self) -> Sequence[Policy]:
        with self._database.session() as session:
            return [_policy(row) for row in queries.policies(session, self._project)]

    def set(self, name: str, value: object, *, actor: str | None = None) -> Policy:
        """Demand it from now on. `value`: as it is, or as a person writes it (on, off, 0.05, 5%). Raises BadRequest for
        a name that there is not, with the nearest, and for a value that can't be meant."""
        checked = _check_value(_check_name(name), value)
        with self._database.transaction() as session:
            row = session.get(PolicyRow, (self._project, name), with_for_update=True)
            if row is None:
                row = PolicyRow(project=self._project, name=name)
                session.add(row)
            row.value, row.updated_at, row.updated_by = checked, self._clock(), actor or this_user()
            session.flush()
            return _policy(row)

    def unset(self, name: str) -> None:
        """Demand it no more; nothing happens where nobody did."""
        _check_name(name)
        with self._database.transaction() as session:
            row = session.get(PolicyRow, (self._project, name), with_for_update=True)
            if row is not None:
                session.delete(row)


def policy_names() -> Sequence[str]:
    return [REQUIRE_SIGNATURE, *LIMITS]


def _check_name(name: str) -> str:
    known = policy_names()
    if name not in known:
        meant = nearest(name, known)
        hint = f"Did you mean {' or '.join(meant)}?" if meant else f"There is {', '.join(known)}."
        raise BadRequest(f"There is no policy {name[:80]!r}. {hint}", param="name")
    return name


def _check_value(name: str, value: object) -> Value:
    if name == REQUIRE_SIGNATURE:
        switch = _SWITCHES.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(switch, bool):
            raise BadRequest(f"{name} takes on or off, not {str(value)[:80]!r}.", param="value")
        return switch
    number = _number(value, may_be_percent=name in SHARES)
    if number is None or not 0 <= number <= 1e15:
        examples = "a share such as 0.05 or 5%" if name in SHARES else "a number from 0 on"
        raise BadRequest(f"{name} takes {examples}, not {str(value)[:80]!r}.", param="value")
    if name == "min_greedy_agreement" and number > 1:
        raise BadRequest(f"{name} takes a share of at most 1, which is 100%, not {str(value)[:80]!r}.", param="value")
    return number


def _number(value: object, *, may_be_percent: bool) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    text, divisor = value.strip(), 1
    if may_be_percent and text.endswith("%"):
        text, divisor = text[:-1], 100
    try:
        return float(text) / divisor
    except ValueError:
        return None


def _policy(row: PolicyRow) -> Policy:
    return Policy(name=row.name, value=row.value, updated_at=row.updated_at, updated_by=row.updated_by)
