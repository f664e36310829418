"""Throttle: how often a wrong password may be tried, for each name and each address, on all servers of a database.

Both are token buckets like those of limit_counts.py: a number of tries at once, then one in each interval. A try takes
from the buckets before the password is checked, so that tries at the same time can't pass together; a right password
gives back.

The rows are bounded: names and addresses share a fixed number of buckets, chosen by a hash. A name that there is not
has one as well, so that nobody learns which names there are.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from llmos.core.database import Database
from llmos.core.errors import RateLimited
from llmos.security.users import queries
from llmos.security.users.tables import SignInFailuresRow

SECOND = 1_000_000_000
"""Nanoseconds."""

NUM_BUCKETS = 16_384
"""For names, and as many for addresses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    at_once: int
    interval_seconds: int
    """After that, one try in this time."""


NAME_RATE = Rate(at_once=10, interval_seconds=60)
ADDRESS_RATE = Rate(at_once=50, interval_seconds=10)
"""Larger: behind one address may be an office."""


class Throttle:
    """Any thread and any process may use it."""

    def __init__(
        self,
        database: Database,
        *,
        name_rate: Rate = NAME_RATE,
        address_rate: Rate = ADDRESS_RATE,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock`: nanoseconds since 1970. Servers on several machines need clocks that agree."""
        self._database, self._clock = database, clock
        self._name_rate, self._address_rate = name_rate, address_rate

    def take(self, name: str | None, address: str | None) -> None:
        """Count a try. Raises RateLimited, with nothing counted, if there were too many.

        `name`: None for a try that names nobody, such as one through an OIDC provider.
        """
        rates = self._rates(name, address)
        with self._database.counting() as session:
            now = self._clock()
            queries.remove_old_failures(session, now)
            rows = {row.scope: row for row in queries.sign_in_failures(session, rates)}
            waits = [
                (rows[scope].full_at if scope in rows else now)
                + rate.interval_seconds * SECOND
                - now
                - rate.at_once * rate.interval_seconds * SECOND
                for scope, rate in rates.items()
            ]
            if (wait := max(waits, default=0)) > 0:
                seconds = -(-wait // SECOND)
                raise RateLimited(
                    f"There were too many failed sign-ins. Try again in {seconds} second{'s' * (seconds != 1)}.",
                    retry_after_seconds=seconds,
                )
            for scope, rate in rates.items():
                row = rows.get(scope)
                if row is None:
                    session.add(row := SignInFailuresRow(scope=scope, full_at=now))
                row.full_at = max(row.full_at, now) + rate.interval_seconds * SECOND

    def give_back(self, name: str | None, address: str | None) -> None:
        """Uncount a try that succeeded. The failures before it stay."""
        rates = self._rates(name, address)
        with self._database.counting() as session:
            for row in queries.sign_in_failures(session, rates):
                row.full_at -= rates[row.scope].interval_seconds * SECOND

    def _rates(self, name: str | None, address: str | None) -> dict[str, Rate]:
        rates = {}
        if name is not None:
            rates[f"name:{_bucket(name)}"] = self._name_rate
        if address is not None:
            rates[f"address:{_bucket(network_of(address))}"] = self._address_rate
        return rates


def network_of(address: str) -> str:
    """Return the part of an address that stands for one customer of a network: all of IPv4, the first half of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def _bucket(text: str) -> int:
    return int.from_bytes(sha256(text.encode(errors="replace")).digest()[:8]) % NUM_BUCKETS
