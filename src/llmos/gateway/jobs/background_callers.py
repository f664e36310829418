"""BackgroundCallers: who calls in work that goes on without the one who began it: batches and jobs."""

from dataclasses import replace

from llmos.core.clock import Clock, utc_now
from llmos.security.authenticator import caller_of, check_works
from llmos.security.callers import Caller, user_of_key_id
from llmos.security.keys import Keys
from llmos.security.permissions import OWNER, Permission
from llmos.security.users.users import Users

JOB = "job"

_OF_OTHERS = frozenset({Permission.INFERENCE})
_OF_JOBS = _OF_OTHERS | {Permission.APPS_RUN, Permission.APPS_DEPLOY}
"""Evals ask applications, too, and versions that aren't deployed. Who starts one is checked for what those may do."""


def _permissions_of(what: str) -> frozenset[Permission]:
    return _OF_JOBS if what == JOB else _OF_OTHERS


class BackgroundCallers:
    """Any thread may use it."""

    def __init__(self, keys: Keys, users: Users, *, clock: Clock = utc_now) -> None:
        self._keys, self._users, self._clock = keys, users, clock

    def caller(self, project: str, key_id: str | None, what: str) -> Caller:
        """Return the key or user as it is now, with the permission to run models, and applications in a
        job, and no other.

        `key_id`: of the key or user that began the work; None and `owner` for the installation's owner, who is called
        `what` then. Raises NotFound and Unauthenticated if the key doesn't work any more: the work doesn't outlive it.
        """
        if key_id is None or key_id == OWNER:
            return Caller(project=project, key_id=what, permissions=_permissions_of(what), is_background=True)
        if (user := user_of_key_id(key_id)) is not None:
            caller = self._users.caller(user, project=project)
        else:
            key = self._keys.get(key_id, project=project)
            check_works(key, self._clock())
            caller = caller_of(key)
        return replace(caller, permissions=caller.permissions & _permissions_of(what), is_background=True)
