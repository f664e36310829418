"""Every error that LLMOS raises at a caller, in the server and in the client. Knows no wire format.

LLMOSError                        500 internal_error
├── BadRequest                    400 invalid_request
│   ├── PromptTooLong             400 context_length_exceeded
│   ├── PromptBlocked             400 content_filter
│   ├── BadDocument               400 bad_document
│   ├── BadModelFile              400 bad_model_file
│   └── UnsupportedModel          400 unsupported_model
├── Unauthenticated               401 invalid_api_key
├── BudgetExceeded                402 budget_exceeded
├── PermissionDenied              403 permission_denied
│   └── UntrustedModel            403 untrusted_model
├── NotFound                      404 not_found
│   └── ModelNotFound             404 model_not_found
├── MethodNotAllowed              405 method_not_allowed
├── RequestTimeout                408 request_timeout
├── Conflict                      409 conflict
│   ├── InsufficientMemory        409 insufficient_memory
│   ├── NewerVersion              409 newer_version
│   └── RunConflict               409 run_conflict
├── TooLarge                      413 request_too_large
├── UriTooLong                    414 uri_too_long
├── UnsupportedMediaType          415 unsupported_media_type
├── RateLimited                   429 rate_limit_exceeded
│   ├── Overloaded                429 overloaded
│   └── QuotaExceeded             429 quota_exceeded
├── AppFailed                     424 app_failed
│   └── NotRecorded               424 not_recorded
├── HeadersTooLarge               431 headers_too_large
├── DownloadFailed                502 download_failed
├── ReplicaFailed                 502 replica_failed
├── ProviderFailed                502 provider_failed
├── Unavailable                   503 unavailable
│   └── NoNode                    503 no_node
├── StoreFailed                   507 store_failed
├── ConnectionFailed              (client only) no server answered
│   └── UnknownServer             (client only) another program answered
└── AppError                      0 app_error        (llmos.apps only)
    ├── LimitReached              0 limit_reached
    ├── WrongOutput               0 wrong_output
    ├── StepFailed                0 step_failed
    ├── NoRun                     0 no_run
    ├── McpFailed                 0 mcp_failed       (llmos.hosting)
    ├── NoSandbox                 0 no_sandbox       (llmos.applications)
    └── TranslationRefused        0 translation_refused

The message says what is wrong and what to do about it, in that order.
"""

from typing import ClassVar


class LLMOSError(Exception):
    """The base of all errors. Status and code are a promise to programs; the message is for people."""

    status: ClassVar[int] = 500
    """The HTTP status that the server answers with."""
    code: ClassVar[str] = "internal_error"
    """The name of the error, unique in the tree."""
    type: ClassVar[str] = "server_error"
    """The group of errors that it belongs to, for clients that know no finer difference."""

    def __init__(self, message: str, *, param: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The field of the request that is wrong, or None."""
        self.retry_after_seconds = retry_after_seconds
        """The time to wait until the same request may succeed; None if unknown."""


class BadRequest(LLMOSError):
    status, code, type = 400, "invalid_request", "invalid_request_error"


class PromptTooLong(BadRequest):
    code = "context_length_exceeded"


class PromptBlocked(BadRequest):
    """A guardrail blocked the prompt."""

    code = "content_filter"


class BadDocument(BadRequest):
    """A document can't be read: it is encrypted, scanned, broken, hostile, or in no known format."""

    code = "bad_document"


class BadModelFile(BadRequest):
    """A model file is truncated, malformed or hostile."""

    code = "bad_model_file"


class UnsupportedModel(BadRequest):
    """A well-formed model that this engine can't run."""

    code = "unsupported_model"


class Unauthenticated(LLMOSError):
    status, code, type = 401, "invalid_api_key", "authentication_error"


class BudgetExceeded(LLMOSError):
    """A budget or credit of money doesn't pay for the call."""

    status, code, type = 402, "budget_exceeded", "billing_error"


class PermissionDenied(LLMOSError):
    status, code, type = 403, "permission_denied", "permission_error"


class UntrustedModel(PermissionDenied):
    """No trusted key has signed the version, or its bytes are not those that were signed."""

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


class InsufficientMemory(Conflict):
    """A model, or what was asked of it, doesn't fit into this machine's memory. Trying again doesn't help."""

    code = "insufficient_memory"


class NewerVersion(Conflict):
    """Another version was made while this one was written. Whoever builds on the newest one begins again."""

    code = "newer_version"


class RunConflict(Conflict):
    """Another run is in the session, another process has the run, or it has ended. Trying again soon doesn't help."""

    code = "run_conflict"


class TooLarge(LLMOSError):
    status, code, type = 413, "request_too_large", "invalid_request_error"


class UriTooLong(LLMOSError):
    status, code, type = 414, "uri_too_long", "invalid_request_error"


class UnsupportedMediaType(LLMOSError):
    """The body is compressed or encoded in a way that this server can't read."""

    status, code, type = 415, "unsupported_media_type", "invalid_request_error"


class RateLimited(LLMOSError):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class Overloaded(RateLimited):
    """The machine is at its limit. The same request may succeed later."""

    code = "overloaded"


class QuotaExceeded(RateLimited):
    """A budget of requests or tokens has too little left for the call."""

    code = "quota_exceeded"


class AppFailed(LLMOSError):
    """A hosted application ended without an answer: a limit, a wrong output, its program, or its process.

    The status is one that no client asks again for by itself: what the run did is done.
    """

    status, code, type = 424, "app_failed", "app_error"


class NotRecorded(AppFailed):
    """A replay of a recorded run calls what the record has no result of. Nothing was called."""

    code = "not_recorded"


class HeadersTooLarge(LLMOSError):
    status, code, type = 431, "headers_too_large", "invalid_request_error"


class DownloadFailed(LLMOSError):
    status, code = 502, "download_failed"


class ReplicaFailed(LLMOSError):
    """The process that runs the model died or stopped responding during this request."""

    status, code = 502, "replica_failed"


class ProviderFailed(LLMOSError):
    """A provider of remote models refused the request, or sent a malformed answer."""

    status, code = 502, "provider_failed"


class Unavailable(LLMOSError):
    status, code = 503, "unavailable"


class NoNode(Unavailable):
    """No node has room for the replica, or none is connected. It is tried again until one has."""

    code = "no_node"


class StoreFailed(LLMOSError):
    status, code = 507, "store_failed"


class ConnectionFailed(LLMOSError):
    """Raised by the client: no server answered at the endpoint."""

    status, code, type = 0, "connection_failed", "connection_error"


class UnknownServer(ConnectionFailed):
    """Raised by the client: the program at the endpoint didn't prove that it is the owner's server."""

    code = "unknown_server"


def error_classes() -> list[type[LLMOSError]]:
    """Return every class of the tree, each parent before its children."""

    def tree(error: type[LLMOSError]) -> list[type[LLMOSError]]:
        return [error, *(each for child in error.__subclasses__() for each in tree(child))]

    return tree(LLMOSError)


def find_error_class(code: object, status: int = LLMOSError.status) -> type[LLMOSError]:
    """Return the class with this code; without one the first with this status, then BadRequest for any 4xx status."""
    classes = error_classes()
    matches = [each for each in classes if each.code == code] or [each for each in classes if each.status == status]
    return (matches or [BadRequest if 400 <= status < 500 else LLMOSError])[0]


def error_of_code(code: str, message: str, *, param: str | None = None) -> LLMOSError:
    """Return the error with this code; a plain LLMOSError for an unknown code."""
    return find_error_class(code)(message, param=param)
