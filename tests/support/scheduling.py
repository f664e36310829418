"""The distribution of the tests among the workers of pytest-xdist."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
_REAL_SERVER = re.compile(r"\brunning: Running\b|\bserved: Served\b|\"(running|at_the_server)\"")


class ByServer(LoadScopeScheduling):
    """Give each file to one worker, so that its module fixtures are made once.

    All files that use the session's real server go to the same worker, so that only one server is started.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the real server" if _uses_real_server(file) else file


@cache
def _uses_real_server(file: str) -> bool:
    return _REAL_SERVER.search((ROOT / file).read_text()) is not None
