"""Files of suites on this machine's disk."""

from pathlib import Path

from llmos.core.errors import BadRequest
from llmos.evals.suite_reading import read_suite, suite_name
from llmos.evals.suites import Suite

SUFFIXES = (".yaml", ".yml", ".json")


def read_suite_file(path: Path) -> Suite:
    """Return the suite in a file, whose errors name it and the line. Raises BadRequest."""
    return read_suite(read_text(path), str(path), suite_name(path.name))


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{path} isn't text in UTF-8.") from None
