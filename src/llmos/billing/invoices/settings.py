"""InvoiceSettingsBook: what invoices say besides their lines: seller, buyer, taxes, due date.

Those of a project apply in place of those of the installation, field by field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.billing.invoices import queries
from llmos.billing.invoices.tables import InvoiceSettingsRow
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.core.money import NANOS, parse_nanos
from llmos.core.schemas.invoices import InvoiceSettings, Party, TaxRate
from llmos.core.suggest import nearest

FIELDS = ("seller", "buyer", "taxes", "due_days", "note")
DEFAULT_DUE_DAYS = 30

_PARTY_FIELDS = tuple(Party.__struct_fields__)
_MAX_TEXT = 200
_MAX_LINES = 8
_MAX_NOTE = 2000
_MAX_TAXES = 5
_MAX_DUE_DAYS = 365


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The terms that apply to an invoice of a project."""

    seller: Party
    buyer: Party
    taxes: tuple[TaxRate, ...]
    due_days: int
    note: str


class InvoiceSettingsBook:
    """Any thread may use it."""

    def __init__(
        self, database: Database, *, check_project: Callable[[str], object] | None = None, clock: Clock = utc_now
    ) -> None:
        """`check_project`: raises NotFound for a project that there isn't."""
        self._database, self._check_project, self._clock = database, check_project, clock

    def set(self, document: Any, *, project: str = "", actor: str = "") -> InvoiceSettings:
        """Replace the settings of a project; of "", those of the installation. Raises BadRequest, NotFound."""
        if project and self._check_project is not None:
            self._check_project(project)
        new = msgspec.structs.replace(
            read_settings(document), project=project, updated_at=self._clock(), updated_by=actor
        )
        with self._database.transaction() as session:
            row = queries.settings(session, project)
            if row is None:
                row = InvoiceSettingsRow(project=project)
                session.add(row)
            row.document, row.updated_at, row.updated_by = _encode(new), self._clock(), actor
            describe_action(project=project)
        return new

    def get(self, project: str = "") -> InvoiceSettings:
        """Return the settings of a project, or of the installation; without any, those that say nothing."""
        with self._database.session() as session:
            return _read(session, project)


def terms_of(session: Session, project: str) -> Terms:
    """Return what applies to an invoice of a project."""
    own, general = _read(session, project), _read(session, "")
    seller = own.seller or general.seller or Party()
    buyer = own.buyer or Party()
    taxes = own.taxes if own.taxes is not None else general.taxes or []
    due_days = next((each for each in (own.due_days, general.due_days) if each is not None), DEFAULT_DUE_DAYS)
    note = next((each for each in (own.note, general.note) if each is not None), "")
    buyer = buyer if buyer.name else msgspec.structs.replace(buyer, name=project)
    return Terms(seller=seller, buyer=buyer, taxes=tuple(taxes), due_days=due_days, note=note)


def read_settings(document: Any) -> InvoiceSettings:
    """Return the settings that a document has. Raises BadRequest, which names the field."""
    if not isinstance(document, dict):
        raise BadRequest(f"The settings of invoices are an object with {', '.join(FIELDS)}.", param="settings")
    _check_names(document, FIELDS, "")
    due_days = document.get("due_days")
    if due_days is not None and (type(due_days) is not int or not 0 <= due_days <= _MAX_DUE_DAYS):
        raise BadRequest(
            f"`due_days` is {due_days!r:.40}. Write whole days, at most {_MAX_DUE_DAYS}.", param="due_days"
        )
    note = document.get("note")
    return InvoiceSettings(
        seller=_read_party(document.get("seller"), "seller"),
        buyer=_read_party(document.get("buyer"), "buyer"),
        taxes=_read_taxes(document.get("taxes")),
        due_days=due_days,
        note=None if note is None else _read_text(note, "note", _MAX_NOTE),
    )


def tax_percent(tax: TaxRate) -> int:
    """Return the percentage in billionths."""
    return parse_nanos(tax.percent, "percent", limit=100)


def _read(session: Session, project: str) -> InvoiceSettings:
    row = queries.settings(session, project)
    if row is None:
        return InvoiceSettings(project=project)
    return msgspec.structs.replace(msgspec.json.decode(row.document, type=InvoiceSettings), project=project)


def _encode(settings: InvoiceSettings) -> str:
    return msgspec.json.encode(settings).decode()


def _read_party(fields: Any, param: str) -> Party | None:
    if fields is None:
        return None
    if not isinstance(fields, dict):
        raise BadRequest(f"`{param}` is an object with {', '.join(_PARTY_FIELDS)}.", param=param)
    _check_names(fields, _PARTY_FIELDS, f"{param}.")
    if not fields.get("name"):
        raise BadRequest(f"`{param}.name` is missing. Write the name that stands on invoices.", param=f"{param}.name")
    texts = {name: _read_text(fields[name], f"{param}.{name}") for name in fields if name != "address"}
    address = fields.get("address", [])
    if not isinstance(address, list) or len(address) > _MAX_LINES:
        raise BadRequest(
            f"`{param}.address` is a list of lines, {_MAX_LINES} at most: [Example Street 1, 10115 Berlin].",
            param=f"{param}.address",
        )
    return Party(**texts, address=[_read_text(line, f"{param}.address") for line in address])


def _read_taxes(taxes: Any) -> list[TaxRate] | None:
    if taxes is None:
        return None
    if not isinstance(taxes, list) or len(taxes) > _MAX_TAXES:
        raise BadRequest(f"`taxes` is a list of at most {_MAX_TAXES}; [] for none.", param="taxes")
    return [_read_tax(each) for each in taxes]


def _read_tax(tax: Any) -> TaxRate:
    if not isinstance(tax, dict) or set(tax) != {"name", "percent"}:
        raise BadRequest('A tax has `name` and `percent`, such as {name: VAT 19 %, percent: "19"}.', param="taxes")
    if parse_nanos(tax["percent"], "taxes.percent", limit=100) >= 100 * NANOS:
        raise BadRequest(f"`taxes.percent` is {tax['percent']}; it is less than 100.", param="taxes.percent")
    return TaxRate(name=_read_text(tax["name"], "taxes.name"), percent=str(tax["percent"]))


def _read_text(value: Any, param: str, limit: int = _MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > limit or any(not (c.isprintable() or c == "\n") for c in value):
        raise BadRequest(f"`{param}` is a text of at most {limit} characters. Put numbers into quotes.", param=param)
    if "\n" in value and param != "note":
        raise BadRequest(f"`{param}` is one line.", param=param)
    return value.strip()


def _check_names(fields: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for name in fields:
        if name not in known:
            near = nearest(str(name), list(known), 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise BadRequest(f"There is no `{where}{name:.100}`. {hint}", param=f"{where}{name:.100}")
