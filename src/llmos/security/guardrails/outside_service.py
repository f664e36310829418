"""OutsideService: a service over HTTP that screens texts. It is asked at an address that was checked before.

The name is resolved once for each request, every address is checked, and the connection goes to one of these: a name
that leads elsewhere a moment later doesn't matter. The certificate and the Host header are those of the name.
"""

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import httpx
import msgspec

from llmos.core.addresses import AddressRefused, resolve
from llmos.security.guardrails.guardrail import GuardrailFailed, OutOfTime

MAX_ANSWER_BYTES = 1024 * 1024
_MAX_THREADS = 16


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request."""

    side: Literal["input", "output"]
    texts: Sequence[str]
    before: str = ""
    """On the output: the piece of the answer before this one, for context."""


class FoundHit(msgspec.Struct, frozen=True, kw_only=True):
    rule: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    text: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The index of the text."""
    begin: Annotated[int, msgspec.Meta(ge=0)] = 0
    """In characters of Unicode."""
    end: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """None: the end of the text."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer."""

    hits: Sequence[FoundHit]


class OutsideService:
    """Any thread may use it."""

    def __init__(self, url: httpx.URL, *, timeout_seconds: float, allow_private: bool, token: str | None) -> None:
        """`token`: sent as a bearer token."""
        self._url, self._timeout, self._allow_private = url, timeout_seconds, allow_private
        self._port = url.port or (443 if url.scheme == "https" else 80)
        headers = {"Host": url.netloc.decode(), "Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._headers = headers | ({} if token is None else {"Authorization": f"Bearer {token}"})
        # A proxy would resolve the name itself, so none is used, whatever the environment says.
        self._client = httpx.Client(
            follow_redirects=False, trust_env=False, timeout=timeout_seconds, verify=httpx.create_ssl_context()
        )
        # Timeouts of HTTP are for one step each, and a lookup of a name has none.
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="guardrail-webhook")
        weakref.finalize(self, _close, self._client, self._threads)

    def ask(self, question: Question) -> Verdict:
        """Raises OutOfTime; GuardrailFailed for a service that can't be asked, or gives no verdict."""
        # The work holds no reference to this object, so that it can be finalized.
        asked = self._threads.submit(
            _ask, self._client, self._url, self._port, self._headers, self._allow_private, msgspec.json.encode(question)
        )
        try:
            body = asked.result(self._timeout)
        except (TimeoutError, httpx.TimeoutException):
            asked.cancel()
            raise OutOfTime from None
        except httpx.HTTPError as error:
            raise GuardrailFailed(f"{self._url.host} can't be asked: {type(error).__name__}.") from None
        return _read(body, self._url.host, question.texts)


def _ask(
    client: httpx.Client, url: httpx.URL, port: int, headers: dict[str, str], allow_private: bool, body: bytes
) -> bytes:
    """Return the body of the answer."""
    try:
        addresses = resolve(url.host, port, allow_private=allow_private)
    except AddressRefused as error:
        raise GuardrailFailed(str(error)) from None
    for i, address in enumerate(addresses):
        try:
            return _post(client, url.copy_with(host=address), url.host, headers, body)
        except httpx.ConnectError:
            if i + 1 == len(addresses):
                raise
    raise GuardrailFailed(f"{url.host} has no address.")


def _post(client: httpx.Client, url: httpx.URL, host: str, headers: dict[str, str], body: bytes) -> bytes:
    with client.stream("POST", url, content=body, headers=headers, extensions={"sni_hostname": host}) as reply:
        if reply.status_code != 200:
            what = "Redirects aren't followed." if reply.is_redirect else "It must be 200."
            raise GuardrailFailed(f"{host} answered with the status {reply.status_code}. {what}")
        answer = b""
        for chunk in reply.iter_raw():
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise GuardrailFailed(f"The answer of {host} is longer than {MAX_ANSWER_BYTES:,} bytes.")
        return answer


def _read(body: bytes, host: str, texts: Sequence[str]) -> Verdict:
    try:
        verdict = msgspec.json.decode(body, type=Verdict)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GuardrailFailed(f"The answer of {host} is no verdict: {error}.") from None
    for hit in verdict.hits:
        if hit.text >= len(texts) or not hit.begin <= _end(hit, texts) <= len(texts[hit.text]):
            raise GuardrailFailed(f"A hit of {host} is outside of the texts: {hit}.")
    return verdict


def _end(hit: FoundHit, texts: Sequence[str]) -> int:
    return len(texts[hit.text]) if hit.end is None else hit.end


def _close(client: httpx.Client, threads: ThreadPoolExecutor) -> None:
    client.close()
    threads.shutdown(wait=False, cancel_futures=True)
