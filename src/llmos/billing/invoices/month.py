"""Month: a calendar month in UTC, the period of an invoice."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from llmos.core.errors import BadRequest

_MONTH = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Month:
    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """2026-11 -> Month(2026, 11). Raises BadRequest."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise BadRequest(f"`month` is {text[:40]!r}. Write year and month, such as 2026-11.", param="month")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def at(cls, seconds: int) -> "Month":
        """Return the month of a time, in seconds since 1970."""
        moment = datetime.fromtimestamp(seconds, UTC)
        return cls(moment.year, moment.month)

    @property
    def start(self) -> int:
        """Its first second since 1970."""
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp())

    @property
    def end(self) -> int:
        """The first second after it."""
        return self.next.start

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def through(self, last: "Month") -> Iterator["Month"]:
        """Yield this month and those after it, up to the last one."""
        month = self
        while month <= last:
            yield month
            month = month.next

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"
