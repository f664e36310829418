"""Policies: a project's requirements for the versions that it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.suggest import nearest
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.cards.limits import LIMITS
from llmos.models.tables import PolicyRow

DEFAULT_PROJECT = "default"
"""The only project at present."""

REQUIRE_SIGNATURE = "require_signature"
ENCRYPT_MODELS = "encrypt_models"
"""The files of new versions are encrypted."""

SHARES = ("max_perplexity_increase", "min_greedy_agreement")
"""Policies whose value may be written as a percentage."""

_SWITCH_NAMES = (REQUIRE_SIGNATURE, ENCRYPT_MODELS)

Value = bool | float

_SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that is set."""

    name: str
    value: Value
    updated_at: datetime
    updated_by: str | None
    """The caller who set it; None if unknown."""


class Policies:
    """The policies of one project. Any thread and any process may use it."""

    def __init__(self, database: Database, project: str = DEFAULT_PROJECT, *, clock: Clock = utc_now) -> None:
        self._database, self._project, self._clock = database, project, clock

    def get(self, name: str) -> Value | None:
        """Return the value of a policy, or None where it isn't set. Raises NotFound for an unknown policy."""
        return self.all().get(_check_name(name))

    def all(self) -> Mapping[str, Value]:
        """Return {name: value} of the policies that are set."""
        return {policy.name: policy.value for policy in self.list()}

    def list(self) -> Sequence[Policy]:
        """Return the policies that are set, sorted by name."""
        with self._database.session() as session:
            return [_policy(row) for row in queries.policies(session, self._project)]

    def set(self, name: str, value: object, *, actor: str | None = None) -> Policy:
        """Set a policy. `value`: a bool, a number, or its text (on, off, 0.05, 5%). `actor`: who sets it; None is the
        user of this process.

        Raises BadRequest for an invalid value, and NotFound for an unknown policy, with similar names.
        """
        checked = _check_value(_check_name(name), value)
        with self._database.transaction() as session:
            row = session.get(PolicyRow, (self._project, name), with_for_update=True)
            if row is None:
                row = PolicyRow(project=self._project, name=name)
                session.add(row)
            row.value, row.updated_at, row.updated_by = checked, self._clock(), actor or this_user()
            describe_action(value=str(checked))
            session.flush()
            return _policy(row)

    def unset(self, name: str) -> None:
        """Remove a policy. Does nothing where it isn't set. Raises NotFound for an unknown policy."""
        _check_name(name)
        with self._database.transaction() as session:
            row = session.get(PolicyRow, (self._project, name), with_for_update=True)
            if row is not None:
                session.delete(row)


def policy_names() -> Sequence[str]:
    """Return the names of all policies."""
    return [*_SWITCH_NAMES, *LIMITS]


def _check_name(name: str) -> str:
    known = policy_names()
    if name not in known:
        similar = nearest(name, known)
        hint = f"Did you mean {' or '.join(similar)}?" if similar else f"The policies are {', '.join(known)}."
        raise NotFound(f"There is no policy {name[:80]!r}. {hint}", param="name")
    return name


def _check_value(name: str, value: object) -> Value:
    if name in _SWITCH_NAMES:
        switch = _SWITCHES.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(switch, bool):
            raise BadRequest(f"{name} must be on or off, not {str(value)[:80]!r}.", param="value")
        return switch
    number = _number(value, may_be_percent=name in SHARES)
    if number is None or not 0 <= number <= 1e15:
        examples = "a share such as 0.05 or 5%" if name in SHARES else "a number of at least 0"
        raise BadRequest(f"{name} must be {examples}, not {str(value)[:80]!r}.", param="value")
    if name == "min_greedy_agreement" and number > 1:
        raise BadRequest(f"{name} must be a share of at most 1 (100%), not {str(value)[:80]!r}.", param="value")
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
