"""httpx's clients, without the work that they repeat for each request and that has the same result each time."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import httpx

from llmos.client.flows import Send

_NUM_URLS = 256


class _SetCookies(httpx.Cookies):
    """Cookies, which are read only from answers that set some: httpx makes objects of urllib of every answer."""

    def extract_cookies(self, response: httpx.Response) -> None:
        if "set-cookie" in response.headers:
            super().extract_cookies(response)


class _ReadsSetCookies:
    """The cookies of a client."""

    _set_cookies: _SetCookies

    @property
    def cookies(self) -> httpx.Cookies:
        return self._set_cookies

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._set_cookies = _SetCookies(cookies)


class HttpClient(_ReadsSetCookies, httpx.Client):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._set_cookies = _SetCookies()
        self.requests = Requests(self)


class AsyncHttpClient(_ReadsSetCookies, httpx.AsyncClient):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._set_cookies = _SetCookies()
        self.requests = Requests(self)


class Requests:
    """Builds the requests of one client. What they have in common is made once."""

    def __init__(self, http: httpx.Client | httpx.AsyncClient) -> None:
        self._http = http
        self._headers = http.headers.raw
        self._extensions = {"timeout": http.timeout.as_dict()}
        self.more_headers: Callable[[], Mapping[str, str]] = dict
        """Returns headers that differ from one request to the next."""
        self._url = lru_cache(_NUM_URLS)(lambda path: http.build_request("GET", path).url)

    def build(self, step: Send) -> httpx.Request:
        """Return what `build_request` of the client would."""
        given = {**step.headers, **self.more_headers()}
        if self._http.cookies:
            return self._http.build_request(step.method, step.path, content=step.body, headers=given)
        own = [(name.encode(), value.encode()) for name, value in given.items()]
        replaced = {name.lower() for name, _ in own}
        headers = [each for each in self._headers if each[0].lower() not in replaced] + own
        url = self._url(step.path)
        return httpx.Request(step.method, url, content=step.body, headers=headers, extensions=self._extensions)
