"""Connections to duckdb: apart from each other, and harmless to processes that this one starts."""

import os
import signal
import threading

import pytest

from llmos.data.datasets.columnar import open_columnar


def select(value):
    with open_columnar() as connection:
        return connection.execute("SELECT ?", [value]).fetchone()[0]


@pytest.mark.process
def test_a_fork_survives_what_other_threads_have_opened():
    opened, may_end = threading.Event(), threading.Event()

    def use_and_stay():
        select(1)
        opened.set()
        may_end.wait()

    thread = threading.Thread(target=use_and_stay)
    thread.start()
    opened.wait()
    child = os.fork()  # as an event loop does that starts a program; Python clears the other threads' objects then
    if not child:
        os._exit(7)
    _, status = os.waitpid(child, 0)
    may_end.set()
    thread.join()
    assert not os.WIFSIGNALED(status), signal.Signals(os.WTERMSIG(status)).name
    assert os.WEXITSTATUS(status) == 7


def test_connections_at_the_same_time_are_apart():
    with open_columnar() as one, open_columnar() as other:
        one.execute("CREATE TABLE numbers AS SELECT 1 AS n")
        assert other.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'numbers'").fetchone() == (0,)
        one.execute("DROP TABLE numbers")
