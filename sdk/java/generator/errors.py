"""The exceptions of the Java client: one for each status that a server answers with, and the client's own.

The code of an error tells apart what has one status, such as not_found and model_not_found.
"""

from collections.abc import Iterator
from http import HTTPStatus

from llmos.core import errors
from llmos.core.errors import LLMOSError, UnknownServer, error_classes

_NAMES = {502: "BadGateway", 503: "Unavailable", 507: "StoreFailed"}
"""Names of statuses whose first class in the tree is about one code alone."""


def error_files() -> dict[str, str]:
    kinds = dict(_kinds())
    return {f"{name}Exception": _exception(name, kind) for name, kind in kinds.items()} | {"Errors": _finder(kinds)}


def _kinds() -> Iterator[tuple[str, type[LLMOSError]]]:
    """Yield the first class of each status, and those of the client, with the exception's name without its suffix."""
    seen = {LLMOSError.status}
    for kind in error_classes():
        if kind.__module__ == errors.__name__ and (kind.status not in seen or kind is UnknownServer):
            seen.add(kind.status)
            yield _NAMES.get(kind.status, kind.__name__), kind


def _codes(status: int) -> list[str]:
    return [each.code for each in error_classes() if each.status == status and each.__module__ == errors.__name__]


def _exception(name: str, kind: type[LLMOSError]) -> str:
    parent = "ConnectionFailedException" if kind is UnknownServer else "LLMOSException"
    codes = _codes(kind.status) if kind.status else [kind.code]
    status = f"The status {kind.status}, {HTTPStatus(kind.status).phrase}" if kind.status else "No server answered"
    if kind is UnknownServer:
        status = "The program at the endpoint didn't prove that it is the owner's server"
    return f"""/** {status}. Codes: {", ".join(f"{{@code {code}}}" for code in codes)}. */
public class {name}Exception extends {parent} {{
    private static final long serialVersionUID = 1;

    /** Makes one. */
    public {name}Exception(Facts facts) {{
        super(facts);
    }}
}}
"""


def _finder(kinds: dict[str, type[LLMOSError]]) -> str:
    by_status = {kind.status: name for name, kind in kinds.items() if kind.status}
    cases = "\n".join(
        f"            case {status} -> new {name}Exception(facts);" for status, name in sorted(by_status.items())
    )
    codes = {each.code: each.status for each in error_classes() if each.status in by_status}
    statuses = "\n".join(
        f"            case {', '.join(repr(code).replace(chr(39), chr(34)) for code in codes if codes[code] == status)}"
        f" -> {status};"
        for status in sorted(by_status)
    )
    firsts = "\n".join(f'            case {status} -> "{_codes(status)[0]}";' for status in sorted(by_status))
    return f"""import ai.llmos.errors.LLMOSException.Facts;

/** Finds the exception for what a server answered. */
public final class Errors {{
    private Errors() {{}}

    /**
     * Returns the exception of the code; for an unknown one, of the status, with the code that goes with it; for an
     * unknown status, BadRequestException below 500.
     */
    public static LLMOSException of(Facts given) {{
        // An event of a stream, and a failed job, have a code, and no status of their own.
        int ofCode = statusOf(given.code());
        int status = ofCode == 0 ? known(given.status()) : ofCode;
        var facts = given.as(status, ofCode == 0 ? codeOf(status) : given.code());
        return switch (facts.status()) {{
{cases}
            default -> new LLMOSException(facts);
        }};
    }}

    private static int known(int status) {{
        if (!codeOf(status).equals("internal_error")) {{
            return status;
        }}
        return status >= 400 && status < 500 ? 400 : 500;
    }}

    private static String codeOf(int status) {{
        return switch (status) {{
{firsts}
            default -> "internal_error";
        }};
    }}

    private static int statusOf(String code) {{
        return switch (code == null ? "" : code) {{
{statuses}
            default -> 0;
        }};
    }}
}}
"""
