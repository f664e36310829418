"""Pages of OpenAI's lists: the query parameters and the answer."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import msgspec

from llmos.gateway.http.requests import RequestObject


class PageQuery(RequestObject, kw_only=True):
    """The query parameters of a list. Each list adds its `limit`."""

    after: str | None = None
    """Return the objects after the one with this id."""


class ListPage(msgspec.Struct, kw_only=True):
    """A page of a list. Each list narrows the type of `data`."""

    object: Literal["list"] = "list"
    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, data: Sequence[Any], ids: Sequence[str], *, has_more: bool) -> Self:
        """Return the page with these objects, whose ids are `ids`."""
        return cls(
            data=list(data), first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more
        )
