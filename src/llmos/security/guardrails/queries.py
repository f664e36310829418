"""Queries of the tables of guardrail policies. None commits: the public functions of policies.py do."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.security.guardrails.tables import AppliedPolicyRow, GuardrailPolicyRow


def latest(session: Session, name: str) -> GuardrailPolicyRow | None:
    """Return the last version of a policy, also of a removed one."""
    if not name.isprintable():
        return None  # PostgreSQL refuses a text with a NUL, and no name has one.
    statement = select(GuardrailPolicyRow).where(GuardrailPolicyRow.name == name)
    return session.scalars(statement.order_by(GuardrailPolicyRow.version.desc()).limit(1)).one_or_none()


def versions(session: Session, name: str | None = None) -> Sequence[GuardrailPolicyRow]:
    """Return the versions of one policy, or of all, by name and version. Those of removed policies are left out."""
    statement = select(GuardrailPolicyRow).where(GuardrailPolicyRow.removed_at.is_(None))
    if name is not None:
        statement = statement.where(GuardrailPolicyRow.name == name)
    return session.scalars(statement.order_by(GuardrailPolicyRow.name, GuardrailPolicyRow.version)).all()


def applied(session: Session, policy: str | None = None) -> Sequence[AppliedPolicyRow]:
    """Return where one policy applies, or all do, in the order in which they were applied."""
    statement = select(AppliedPolicyRow).order_by(AppliedPolicyRow.number)
    return session.scalars(statement if policy is None else statement.where(AppliedPolicyRow.policy == policy)).all()


def applied_to(session: Session, policy: str, scope: str, target: str) -> AppliedPolicyRow | None:
    statement = select(AppliedPolicyRow).where(
        AppliedPolicyRow.policy == policy, AppliedPolicyRow.scope == scope, AppliedPolicyRow.target == target
    )
    return session.scalars(statement).one_or_none()


def remove_applied(session: Session, number: int) -> None:
    session.execute(delete(AppliedPolicyRow).where(AppliedPolicyRow.number == number))
