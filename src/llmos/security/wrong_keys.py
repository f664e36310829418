"""WrongKeys: slows down whoever tries keys. Bounded in memory, and blind to what a key says.

An address has BURST wrong keys to spend, and gets one back every SECONDS_PER_KEY. While it has none, its requests are
refused unread; but a key that has worked from there before goes on to work, so that nobody locks out their neighbours
behind one address. This machine's own addresses are never slowed down: whoever can call from here can try at home.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network, ip_address

from llmos.core.errors import RateLimited

BURST = 20
SECONDS_PER_KEY = 3.0
MAX_ADDRESSES = 4096
MAX_PROVEN = 16_384


class WrongKeys:
    """Any thread may use it."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """For each address how many wrong keys it has spent, and when that was."""
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        """Keyed hashes of the pairs of address and key that have worked."""
        self._secret = secrets.token_bytes(32)

    def check(self, address: str | None, key: str | None) -> None:
        """Raise RateLimited if the address has no wrong keys left, and this key hasn't worked from there."""
        if not self._spent or key is None or (source := _source(address)) is None:
            return
        with self._lock:
            excess = self._num_spent(source) - BURST + 1
            if excess <= 0 or self._digest(source, key) in self._proven:
                return
        seconds = excess * SECONDS_PER_KEY
        raise RateLimited(
            "Too many wrong API keys came from this address. Wait a moment, and send the right key.",
            retry_after_seconds=seconds,
        )

    def failed(self, address: str | None) -> None:
        """Count a wrong key."""
        if (source := _source(address)) is None:
            return
        with self._lock:
            self._spent[source] = (self._num_spent(source) + 1, self._monotonic())
            self._spent.move_to_end(source)
            if len(self._spent) > MAX_ADDRESSES:
                self._spent.popitem(last=False)

    def worked(self, address: str | None, key: str | None) -> None:
        """Remember that this key works from this address."""
        if key is None or (source := _source(address)) is None:
            return
        digest = self._digest(source, key)
        if digest in self._proven:
            return
        with self._lock:
            self._proven[digest] = None
            if len(self._proven) > MAX_PROVEN:
                self._proven.popitem(last=False)

    def _num_spent(self, source: str) -> float:
        num, then = self._spent.get(source, (0.0, 0.0))
        return max(0.0, num - (self._monotonic() - then) / SECONDS_PER_KEY)

    def _digest(self, source: str, key: str) -> bytes:
        return blake2b(f"{source}\0{key}".encode(errors="replace"), key=self._secret, digest_size=16).digest()


@lru_cache(MAX_ADDRESSES)
def _source(address: str | None) -> str | None:
    """Return what is counted as one: an IPv4 address, an IPv6 network of 64 bits. None for this machine."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return None if found.is_loopback else str(IPv6Network((int(found), 64), strict=False))
        found = found.ipv4_mapped
    return None if found.is_loopback else str(found)
