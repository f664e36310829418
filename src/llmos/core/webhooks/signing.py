"""Signatures of messages, as https://www.standardwebhooks.com defines them. Needs nothing but Python.

webhook-id          msg-…        the same in every attempt
webhook-timestamp   1796000000   of this attempt, in seconds
webhook-signature   v1,K5oZ…     HMAC-SHA256 of "ID.TIMESTAMP.BODY"; one for each secret, between spaces
"""

import base64
import hmac
import os
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"
_TOLERANCE_SECONDS = 300


def new_secret() -> str:
    return _PREFIX + base64.b64encode(os.urandom(32)).decode()


def headers_of(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt, signed with each secret."""
    signatures = " ".join(_signature(secret, id, timestamp, body) for secret in secrets)
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> bool:
    """Return whether a message comes from a holder of the secret, within the last five minutes. For receivers.

    headers: with names in lower case. now: in seconds, `time.time()`.
    """
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and abs(now - int(stamp)) <= _TOLERANCE_SECONDS):
        return False
    expected = _signature(secret, id, int(stamp), body)
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), each.encode()) for each in given)


def _signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        raise ValueError("A secret is whsec_ and base64.") from None
    return "v1," + base64.b64encode(hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")).decode()
