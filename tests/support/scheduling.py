"""The distribution of the tests among the workers of pytest-xdist."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[2]
_REAL_SERVER = re.compile(r"\brunning: Running\b|\bserved: Served\b|\"(running|at_the_server)\"")

_AT_THE_REAL_SERVER = "the real server"
_IN_A_BROWSER = "tests/console/browser/"
FIRST = (
    _AT_THE_REAL_SERVER,
    _IN_A_BROWSER,
    "tests/gateway/http/test_schemathesis.py",
    "tests/gateway/control/test_jobs.py",
    "tests/engine/text/test_grammar.py",
    "tests/packaging/test_wheels.py",
    "tests/engine/test_engine_stateful.py",
    "tests/gateway/test_isolation.py",
    "tests/engine/test_recurrent.py",
    "tests/cli/test_json_on_both_paths.py",
    "tests/data/datasets/test_fetching.py",
    "tests/models/sources/test_s3.py",
    "tests/billing/test_kills.py",
    "tests/gateway/hosted_apps/test_hosting.py",
    "tests/gateway/test_datasets_page.py",
    "tests/gateway/test_encrypted_models.py",
    "tests/gateway/test_apps_knowledge.py",
    "tests/cli/test_fit.py",
    "tests/models/test_crashes.py",
    "tests/apps/test_crashes.py",
)
"""Files with few, slow tests. At the end of a run, the other workers would wait for them."""


class ByServer(LoadScopeScheduling):
    """Give each file to one worker, so that its module fixtures are made once: first FIRST, then by number of tests.

    All files that use the session's real server go to the same worker, so that only one server is started; so do those
    that use a browser, and the server before it.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(_IN_A_BROWSER):
            return _IN_A_BROWSER
        return _AT_THE_REAL_SERVER if _uses_real_server(file) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        for scope in reversed(FIRST):
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


@cache
def _uses_real_server(file: str) -> bool:
    return _REAL_SERVER.search((ROOT / file).read_text()) is not None
