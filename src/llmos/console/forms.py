"""Forms: the numbers and lists that a visitor wrote, or the error that says what is wrong with them."""

import re
from collections.abc import Mapping

from llmos.console.view import View
from llmos.core.errors import BadRequest

_MAX_SHOWN = 40
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


def whole_number(view: View, form: Mapping[str, str], name: str, default: int) -> int:
    """Return the number in a field, or the default if it is empty. Raises BadRequest."""
    text = form.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(view.t("base.no_number", text=text[:_MAX_SHOWN]))
    return int(text)


def decimal_number(view: View, text: str) -> float:
    """Return a number such as 12.5. Raises BadRequest."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise BadRequest(view.t("base.no_decimal", text=text[:_MAX_SHOWN]))
    return float(text)


def percents(view: View, text: str) -> list[float]:
    """Read "5%, 25 %, 100" as [5, 25, 100]. Raises BadRequest."""
    return [decimal_number(view, each.strip().removesuffix("%")) for each in text.split(",") if each.strip()]


def lines(form: Mapping[str, str], name: str) -> list[str]:
    """Return the lines of a text area that aren't empty."""
    return [line.strip() for line in form.get(name, "").splitlines() if line.strip()]
