"""Every error that LLMOS shows to anybody, on the server and in the client.

LLMOSError                        500 internal_error
├── BadRequest                    400 invalid_request
│   ├── PromptTooLong             400 context_length_exceeded
│   ├── BadModelFile              400 bad_model_file
│   └── UnsupportedModel          400 unsupported_model
├── Unauthenticated               401 invalid_api_key
├── PermissionDenied              403 permission_denied
│   └── UntrustedModel            403 untrusted_model
├── NotFound                      404 not_found
│   └── ModelNotFound             404 model_not_found
├── MethodNotAllowed              405 method_not_allowed
├── RequestTimeout                408 request_timeout
├── Conflict                      409 conflict
├── TooLarge                      413 request_too_large
├── RateLimited                   429 rate_limit_exceeded
│   └── Overloaded                429 overloaded
├── DownloadFailed                502 download_failed
├── ReplicaFailed                 502 replica_failed
├── ProviderFailed                502 provider_failed
├── Unavailable                   503 unavailable
├── StoreFailed                   507 store_failed
└── ConnectionFailed              (client only) no server answered

The message says what is wrong and what to do about it, in that order.
"""

from typing import Any, ClassVar


class LLMOSError(Exception):
    """What went wrong, with the HTTP status and the code that programs can rely on."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The field of the request that is wrong, where one is."""
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "code": self.code, "param": self.param}}


class BadRequest(LLMOSError):
    status, code, type = 400, "invalid_request", "invalid_request_error"


class PromptTooLong(BadRequest):
    code = "context_length_exceeded"


class BadModelFile(BadRequest):
    """A model file is truncated, malformed or hostile."""

    code = "bad_model_file"


class UnsupportedModel(BadRequest):
    """A well-formed model that this engine can't run."""

    code = "unsupported_model"


class Unauthenticated(LLMOSError):
    status, code, type = 401, "invalid_api_key", "authentication_error"


class PermissionDenied(LLMOSError):
    status, code, type = 403, "permission_denied", "permission_error"


class UntrustedModel(PermissionDenied):
    """No key that is trusted vouches for the version, or for these bytes of it."""

    code = "untrusted_model"


class NotFound(LLMOSError):
    status, code, type = 404, "not_found", "invalid_request_error"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(LLMOSError):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class RequestTimeout(LLMOSError):
    status, code, type = 408, "request_timeout", "timeout_error"


class Conflict(LLMOSError):
    status, code, type = 409, "conflict", "invalid_request_error"


class TooLarge(LLMOSError):
    status, code, type = 413, "request_too_large", "invalid_request_error"


class RateLimited(LLMOSError):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class Overloaded(RateLimited):
    """More load than the machine can take: the same request may well succeed later."""

    code = "overloaded"


class DownloadFailed(LLMOSError):
    status, code = 502, "download_failed"


class ReplicaFailed(LLMOSError):
    """The process that ran the model died or stopped answering while it worked on this request."""

    status, code = 502, "replica_failed"


class ProviderFailed(LLMOSError):
    """A provider of remote models refused what LLMOS sent, or answered with what is none."""

    status, code = 502, "provider_failed"


class Unavailable(LLMOSError):
    status, code = 503, "unavailable"


class StoreFailed(LLMOSError):
    status, code = 507, "store_failed"


class ConnectionFailed(LLMOSError):
    """Raised by the client: no server answered at the endpoint."""

    status, code, type = 0, "connection_failed", "connection_error"


def _tree(error: type[LLMOSError]) -> list[type[LLMOSError]]:
    return [error, *(child for sub in error.__subclasses__() for child in _tree(sub))]


def error_of_code(code: str, message: str, *, param: str | None = None) -> LLMOSError:
    """Return the error of this tree that has the code, a plain LLMOSError where none has it."""
    return error_from_body(LLMOSError.status, {"error": {"code": code, "message": message, "param": param}})


def error_from_body(status: int, body: object, *, retry_after_seconds: float | None = None) -> LLMOSError:
    """Return the error of this tree that an answer's status and OpenAI-shaped body stand for."""
    detail = body.get("error") if isinstance(body, dict) else None
    detail = detail if isinstance(detail, dict) else {}
    code, message = detail.get("code"), str(detail.get("message") or f"The server answered with status {status}.")
    tree = _tree(LLMOSError)
    by_code = [kind for kind in tree if kind.code == code]
    by_status = [kind for kind in tree if kind.status == status]
    by_class = [BadRequest if 400 <= status < 500 else LLMOSError]
    kind = (by_code or by_status or by_class)[0]
    return kind(message, param=detail.get("param"), retry_after_seconds=retry_after_seconds)
