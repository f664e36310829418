"""A model of Triton's Python backend that passes its requests on to LLMOS.

`llmos export --as triton` writes this file. The parameters in config.pbtxt say where LLMOS is. The key comes from the
environment variable LLMOS_API_KEY, or from the file that the parameter `key_file` names; it is read for each request.

Needs nothing but the standard library, NumPy and the backend's own module.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import triton_python_backend_utils as pb_utils

TEXT, SAMPLING, WITHOUT_INPUT = "text_input", "sampling_parameters", "exclude_input_in_output"
OUTPUTS = {
    "text_output": np.object_,
    "finish_reason": np.object_,
    "num_input_tokens": np.uint32,
    "num_output_tokens": np.uint32,
}

CONNECT_SECONDS = 10
SILENCE_SECONDS = 600
"""An answer of which nothing arrives for this long fails. LLMOS may have to load the model first."""

CANCEL_POLL_SECONDS = 0.2

MAX_ERROR_BYTES = 64 * 1024

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        """Raise TritonModelException, so that the model is not ready, for a key or a name that LLMOS refuses.

        LLMOS may start later than Triton: while it can't be reached, the model is ready, and its requests fail with
        the reason. So they do while LLMOS is overloaded, or starting.
        """
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._is_streamed = config["model_transaction_policy"]["decoupled"]
        self._server = Server(parameters["endpoint"], parameters["model"], parameters.get("key_file"))
        self._cancellations = Cancellations()
        self._threads = ThreadPoolExecutor(int(parameters["max_concurrent_requests"]), "llmos")
        try:
            self._server.check()
        except Failure as failure:
            if failure.is_permanent:
                raise pb_utils.TritonModelException(failure.message) from None
            pb_utils.Logger.log_warn(failure.message)

    def execute(self, requests: Sequence[Any]) -> None:
        """Answer each request in a thread, through its response sender, so that none waits for another."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                asked = Asked(request)
            except Failure as failure:
                sender.send(failure.response(), flags=_FINAL)
            else:
                self._threads.submit(self._answer, asked, sender)

    def finalize(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._cancellations.close()

    def _answer(self, asked: Asked, sender: Any) -> None:
        try:
            if self._is_streamed:
                self._stream(asked, sender)
            else:
                exchange = self._server.post("infer", asked.whole())
                with exchange, self._cancellations.watching(sender, exchange):
                    response = asked.response(exchange.outputs())
                sender.send(response, flags=_FINAL)
        except Failure as failure:
            sender.send(failure.response(), flags=_FINAL)
        except Exception as error:  # Nobody else would notice it, and the caller would wait forever.
            message = f"The model that passes requests to LLMOS failed: {type(error).__name__}: {error}"
            sender.send(Failure(pb_utils.TritonError.INTERNAL, message).response(), flags=_FINAL)

    def _stream(self, asked: Asked, sender: Any) -> None:
        exchange = self._server.post("generate_stream", asked.single())
        with exchange, self._cancellations.watching(sender, exchange):
            for event in exchange.events():
                sender.send(asked.response({name: [event[name]] for name in OUTPUTS if name in event}))
        sender.send(flags=_FINAL)


class Asked:
    """The parsed request of Triton. Raises Failure for a request that can't be passed on."""

    def __init__(self, request: Any) -> None:
        self._outputs = request.requested_output_names()
        self._texts = texts_of(request, TEXT)
        self._parameters: dict[str, Any] = json.loads(request.parameters() or "{}")
        for text in texts_of(request, SAMPLING):
            self._add(parsed(text))
        without_input = pb_utils.get_input_tensor_by_name(request, WITHOUT_INPUT)
        if without_input is not None:
            self._add({WITHOUT_INPUT: bool(without_input.as_numpy().all())})

    def whole(self) -> dict[str, Any]:
        """Return the body for `infer`."""
        outputs = [{"name": name} for name in self._outputs]
        text = {"name": TEXT, "datatype": "BYTES", "shape": [len(self._texts)], "data": self._texts}
        return {"inputs": [text], "outputs": outputs, "parameters": self._parameters}

    def single(self) -> dict[str, Any]:
        """Return the body for `generate_stream`. A streamed model's input has one element."""
        return {"text_input": self._texts[0], "parameters": self._parameters}

    def response(self, outputs: Mapping[str, Sequence[Any]]) -> Any:
        """Return those of the outputs that the caller wants. `outputs`: the values by name."""
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, array(values, OUTPUTS[name]))
                for name, values in outputs.items()
                if name in self._outputs
            ]
        )

    def _add(self, parameters: Mapping[str, Any]) -> None:
        twice = sorted(self._parameters.keys() & parameters.keys())
        if twice:
            raise refused(f"`{twice[0]}` is given twice: as a parameter and in an input. Send one of them.")
        self._parameters.update(parameters)


class Server:
    """LLMOS, with a connection for each request."""

    def __init__(self, endpoint: str, model: str, key_file: str | None) -> None:
        self._endpoint, self._key_file = endpoint, key_file
        self._url = urlsplit(endpoint)
        self._path = f"{self._url.path.rstrip('/')}/v2/models/{quote(model)}"
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        if key_file is not None:
            warn_if_others_can_read(key_file)

    def check(self) -> None:
        """Raise Failure unless LLMOS knows the model and accepts the key."""
        with Exchange(self, "GET", self._path, None) as exchange:
            exchange.document()

    def post(self, action: str, body: Mapping[str, Any]) -> Exchange:
        return Exchange(self, "POST", f"{self._path}/{action}", json.dumps(body).encode())

    def connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)

    def headers(self) -> dict[str, str]:
        """Raise Failure for a file with the key that can't be read."""
        key = os.environ.get("LLMOS_API_KEY", "")
        if self._key_file is not None:
            try:
                with open(self._key_file) as file:
                    key = file.read()
            except OSError as error:
                message = f"The file with the key of LLMOS can't be read: {error}"
                raise Failure(pb_utils.TritonError.INTERNAL, message, is_permanent=True) from None
        authorization = {"Authorization": f"Bearer {key.strip()}"} if key.strip() else {}
        return {"Content-Type": "application/json", **authorization}

    def unreachable(self, reason: str) -> Failure:
        return Failure(pb_utils.TritonError.UNAVAILABLE, f"LLMOS can't be reached at {self._endpoint}: {reason}.")

    def refusal(self, status: int, body: bytes) -> Failure:
        """Return the error for a status that is not 200."""
        message = message_of(body) or f"status {status}"
        errors = pb_utils.TritonError
        if status in (401, 403):
            source = "LLMOS_API_KEY" if self._key_file is None else f"the file {self._key_file}"
            message = f"LLMOS refuses the key that Triton has from {source}: {message}"
            return Failure(errors.INTERNAL, message, is_permanent=True)
        if status in (400, 413, 422):
            return Failure(errors.INVALID_ARG, message)
        if status == 404:
            return Failure(errors.NOT_FOUND, f"LLMOS doesn't have the model: {message}", is_permanent=True)
        if status in (402, 429, 503):
            return Failure(errors.UNAVAILABLE, f"LLMOS can't answer now: {message}")
        return Failure(errors.INTERNAL, f"LLMOS failed: {message}")


class Exchange:
    """A request to LLMOS and its answer, over a connection that ends with the context. Its methods raise Failure."""

    def __init__(self, server: Server, method: str, path: str, body: bytes | None) -> None:
        self._server, self._method, self._path, self._body = server, method, path, body
        self._connection = server.connection()
        self._socket: socket.socket | None = None
        self._was_cancelled = False

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, _: type | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._connection.close()

    def cancel(self) -> None:
        """Hang up, from another thread, which ends the answer at LLMOS. Reading it then raises Failure."""
        self._was_cancelled = True
        if self._socket is not None:
            with suppress(OSError):  # It may have ended by itself.
                self._socket.shutdown(socket.SHUT_RDWR)

    def document(self) -> Any:
        with self._response() as response, self._broken_off():
            return json.loads(response.read())

    def outputs(self) -> dict[str, list[Any]]:
        """Return the values of each output of `infer`."""
        return {output["name"]: output["data"] for output in self.document()["outputs"]}

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream, up to the one with the reason why it ends."""
        is_complete = False
        with self._response() as response, self._broken_off():
            for line in response:
                if line.startswith(b"data: "):
                    event = json.loads(line[len(b"data: ") :])
                    if "error" in event:
                        raise Failure(pb_utils.TritonError.INTERNAL, f"LLMOS failed: {event['error']}")
                    is_complete = "finish_reason" in event
                    yield event
            if not is_complete:
                raise http.client.IncompleteRead(b"")

    def _response(self) -> http.client.HTTPResponse:
        """Send the request, and return the answer once its head has arrived."""
        headers = self._server.headers()
        with self._broken_off():
            try:
                self._connection.connect()
            except OSError as error:
                raise self._server.unreachable(str(error) or type(error).__name__) from None
            sock: socket.socket = self._connection.sock
            sock.settimeout(SILENCE_SECONDS)
            self._socket = sock
            self._connection.request(self._method, self._path, self._body, headers)
            response = self._connection.getresponse()
            if response.status != 200:
                raise self._server.refusal(response.status, response.read(MAX_ERROR_BYTES))
        return response

    @contextmanager
    def _broken_off(self) -> Iterator[None]:
        errors = pb_utils.TritonError
        try:
            yield
        except TimeoutError:
            message = f"LLMOS sent nothing for {SILENCE_SECONDS} seconds. Try again."
            raise Failure(errors.UNAVAILABLE, message) from None
        except (OSError, ValueError, http.client.HTTPException):
            if self._was_cancelled:
                raise Failure(errors.CANCELLED, "The request was cancelled.") from None
            message = "The connection to LLMOS broke off before the answer was complete. Try again."
            raise Failure(errors.UNAVAILABLE, message) from None


class Cancellations:
    """Hangs up on LLMOS when Triton cancels a request. Triton has no callback for that: a thread asks."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Any, Exchange]] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._poll, name="llmos-cancellations", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, sender: Any, exchange: Exchange) -> Iterator[None]:
        with self._changed:
            self._running[id(exchange)] = (sender, exchange)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._running[id(exchange)]

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _poll(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                self._changed.wait(CANCEL_POLL_SECONDS if self._running else None)
                running = list(self._running.values())
            for sender, exchange in running:
                if sender.is_cancelled():
                    exchange.cancel()


class Failure(Exception):
    """A request that fails, with one of Triton's error codes."""

    def __init__(self, code: int, message: str, *, is_permanent: bool = False) -> None:
        """`is_permanent`: a later request fails as well, until somebody changes a setting."""
        super().__init__(message)
        self.message, self.is_permanent = message, is_permanent
        self._code = code

    def response(self) -> Any:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(self.message, self._code))


def refused(message: str) -> Failure:
    return Failure(pb_utils.TritonError.INVALID_ARG, message)


def texts_of(request: Any, name: str) -> list[str]:
    """Return the texts of an input, or none where it is missing."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return []
    try:
        return [value.decode() for value in tensor.as_numpy().reshape(-1)]
    except UnicodeDecodeError as error:
        raise refused(f"`{name}` is not valid UTF-8: {error.reason}.") from None


def parsed(text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except (ValueError, RecursionError):
        parameters = None
    if not isinstance(parameters, dict):
        raise refused(f"The input `{SAMPLING}` must contain a JSON object.")
    return parameters


def array(values: Sequence[Any], dtype: type) -> Any:
    return np.array([value.encode() for value in values] if dtype is np.object_ else values, dtype=dtype)


def message_of(body: bytes) -> str:
    """Return the message in the body of an error, or nothing."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return error if isinstance(error, str) else str(error.get("message", ""))


def warn_if_others_can_read(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # The request that needs it says so.
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        pb_utils.Logger.log_warn(f"Other users can read the key in {path}. To change that: chmod 600 {path}")
