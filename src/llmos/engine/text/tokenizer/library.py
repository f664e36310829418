"""Errors of the tokenizers library as errors of ours.

The library raises bare Exceptions. Where its Rust code panics (a regular expression that backtracks without end, an
inconsistent vocabulary) it raises PanicException, which isn't an Exception and would end a thread silently.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmos.core.errors import LLMOSError


@contextmanager
def library_errors(convert: Callable[[BaseException], LLMOSError]) -> Iterator[None]:
    """Raise errors of the library as what `convert` makes of them."""
    try:
        yield
    except Exception as error:
        raise convert(error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise convert(error) from None
