"""The owner's key in requests: sent only to a server that has it already."""

from collections.abc import Generator

import httpx

from llmos.client.endpoint import Endpoint
from llmos.core.errors import UnknownServer
from llmos.core.server_proof import CHALLENGE_HEADER, PROOF_HEADER, PROOF_PATH, is_proof, new_challenge

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OwnerKeyAuth(httpx.Auth):
    """Asks before every request for a proof that the server has the owner's key.

    The program that listens on the port may be another one than a moment ago, so an earlier proof says nothing.
    """

    def __init__(self, server: Endpoint) -> None:
        assert server.api_key is not None, "there is a key to protect"
        self._key, self._server = server.api_key, httpx.URL(server.url)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        challenge = new_challenge()
        path = f"{self._server.path.rstrip('/')}{PROOF_PATH}"
        response = yield httpx.Request(
            "GET",
            self._server.copy_with(path=path),
            headers={CHALLENGE_HEADER: challenge, "User-Agent": request.headers["User-Agent"]},
            extensions=request.extensions,  # the time limits
        )
        port = self._server.port or _DEFAULT_PORTS[self._server.scheme]
        if not is_proof(response.headers.get(PROOF_HEADER, ""), self._key, challenge, port):
            raise UnknownServer(
                f"The program at {self._server} didn't prove that it is your LLMOS server, so your key was not sent."
                " Start your server on another port (llmos serve --port PORT) and set LLMOS_ENDPOINT to it; or, if you"
                " trust what is there, set LLMOS_API_KEY to the key that it takes."
            )
        request.headers["Authorization"] = f"Bearer {self._key}"
        yield request
