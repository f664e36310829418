"""Forms: the numbers and lists that a visitor wrote, or the error that says what is wrong with them."""

import re
from collections.abc import Mapping
from typing import Any

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


def changed_labels(form: Mapping[str, str], before: Mapping[str, str]) -> dict[str, Any]:
    """Return the body that sets a description and the tags of a text area, one a line: KEY or KEY=VALUE. Tags that
    were there before and aren't in it go."""
    tags = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines(form, "tags"))}
    return {
        "description": form.get("description", "").strip(),
        "tags": tags,
        "remove_tags": [tag for tag in before if tag not in tags],
    }
