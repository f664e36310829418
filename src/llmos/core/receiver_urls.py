"""The check of a URL that something is sent to, before it is stored."""

import httpx

from llmos.core.errors import BadRequest

MAX_URL_LENGTH = 2048


def check_url(text: str, *, allow_private: bool, instead: str) -> str:
    """Return the URL of a receiver. Raises BadRequest for one that nothing may be sent to.

    `instead`: the sentence that says what stands in place of a password.
    """
    try:
        url = httpx.URL(text[: MAX_URL_LENGTH + 1])
    except httpx.InvalidURL as error:
        raise BadRequest(f"`url` {text[:80]!r} can't be read: {error}.", param="url") from None
    if url.scheme not in ("https", "http") or not url.host or len(text) > MAX_URL_LENGTH:
        raise BadRequest("`url` must be such as https://example.com/hooks, with 2,048 characters at most.", param="url")
    if url.userinfo:
        raise BadRequest(f"`url` has a password, which the log would show. {instead}", param="url")
    if url.scheme == "http" and not allow_private:
        raise BadRequest(
            "`url` sends messages unencrypted. Use https, or allow private addresses if the receiver is your own.",
            param="url",
        )
    return str(url)
