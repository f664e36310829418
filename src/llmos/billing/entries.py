"""Entry: what one call consumed. docs/billing.md says what each kind of call is counted for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

Outcome = Literal["answered", "blocked", "cached", "cancelled", "failed", "shadow"]
"""blocked: a guardrail cut the answer. cached: it came out of the response cache. cancelled: the caller hung up.
failed and shadow: only of what isn't charged."""

Difference = Literal["unreported", "input", "output", "cost"]

DIFFERENCES: tuple[Difference, ...] = ("unreported", "input", "output", "cost")
"""The ways in which a provider's report of a call is implausible. unreported: a complete answer without a report.
input, output: more or fewer tokens than the prompt or the answer can have. cost: another cost than its prices yield."""

MEASURES = (
    "num_calls",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "embedding_tokens",
    "rated_tokens",
    "replica_micros",
)
"""The measures that an entry counts."""


class Charge(msgspec.Struct, frozen=True):
    """The cost of an entry, by the prices that applied to it."""

    cost_nanos: int
    """Billionths of the currency."""
    currency: str
    price_version: int


Charges = Mapping[str, Charge]
"""The charges of entries, by the entries' names. Entries that were set aside, or have no price, are missing."""


def total(charges: Iterable[Charge]) -> Charge | None:
    """Return the total charge of one call; None if no price applied. All entries of a call have the same price
    version."""
    found = [*charges]
    if not found:
        return None
    return Charge(sum(each.cost_nanos for each in found), found[0].currency, found[0].price_version)


def sum_of(entries: Sequence["Entry"]) -> dict[str, int]:
    """Return what entries count together, by measure; nothing for none."""
    return {name: sum(getattr(each, name) for each in entries) for name in MEASURES} if entries else {}


class Purchase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The usage of an attempt at a provider, which charges this installation for it."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    is_estimated: bool = False
    """The provider didn't report the tokens, so that they are estimated."""
    reported_cost_nanos: int | None = None
    """The cost that the provider reported, in billionths of the currency; None if it reported none."""
    differences: tuple[Difference, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    call_id: str
    """The id of the answer."""
    line: int = 0
    """The index of the attempt of the call that this entry is for."""
    request_id: str = ""
    at: int
    """Seconds since 1970."""
    project: str
    key_id: str
    user: str = ""
    """The project's own end user; empty if the request names none."""
    route: str = ""
    model: str
    """The name that was asked for."""
    version: str
    app: str = ""
    """The application whose process called."""
    operation: str
    outcome: Outcome
    is_background: bool = False
    num_calls: int = 1
    input_tokens: int = 0
    """Tokens of prompts that were computed."""
    cached_input_tokens: int = 0
    """Tokens of prompts that were found in the prefix cache."""
    output_tokens: int = 0
    embedding_tokens: int = 0
    rated_tokens: int = 0
    """Tokens of texts that were scored."""
    replica_micros: int = 0
    """The time that a replica of this installation worked on it, in microseconds."""
    reversal_of: str = ""
    """The entry that this one reverses, as CALL_ID/LINE."""
    is_charged: bool = True
    """False: it isn't an entry of the ledger, and only carries the cost at a provider."""
    purchase: Purchase | None = None
    """The usage at a provider, if one computed the attempt."""

    @property
    def key(self) -> str:
        """The name of the entry."""
        return f"{self.call_id}/{self.line}"

    def measures(self) -> Mapping[str, int]:
        return {name: getattr(self, name) for name in MEASURES}
