"""ClosablePool: a pool of connections that leaves none open once it is closed. Knows no kind of database."""

from sqlalchemy import Engine, QueuePool
from sqlalchemy.pool import ConnectionPoolEntry


class ClosablePool(QueuePool):
    """A pool that may be closed while threads use its connections: each is then closed when its thread returns it.

    QueuePool.dispose() closes only what nobody uses at that moment. What comes back later would stay open until it is
    collected as garbage.

    Example:
        engine = create_engine(url, poolclass=ClosablePool)
        close_pool(engine)
    """

    _is_closed = False

    def close(self) -> None:
        """Close all connections: idle ones now, others when they are returned. New ones last for one use."""
        self._is_closed = True
        self.dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._is_closed:  # After the return: otherwise, close() could run between the question and the return.
            self.dispose()


def close_pool(engine: Engine) -> None:
    """Close an engine's connections, also those of a pool that SQLAlchemy chose itself."""
    if isinstance(engine.pool, ClosablePool):
        engine.pool.close()
    else:
        engine.dispose()
