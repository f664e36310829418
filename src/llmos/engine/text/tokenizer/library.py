"""What goes wrong inside the tokenizers library, as an error of ours.

It raises bare Exceptions, and where its Rust code gives up (a pattern that backtracks forever, a vocabulary that lies)
a PanicException, which is no Exception at all and would end a thread unseen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmos.core.errors import LLMOSError


@contextmanager
def library_errors(as_ours: Callable[[BaseException], LLMOSError]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise as_ours(error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise as_ours(error) from None
