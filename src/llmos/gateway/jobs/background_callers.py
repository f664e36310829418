"""BackgroundCallers: who calls in work that goes on without the one who began it: batches and jobs."""

from dataclasses import replace

from llmos.core.clock import Clock, utc_now
from llmos.security.authenticator import caller_of, check_works
from llmos.security.callers import Caller, user_of_key_id
from llmos.security.keys import Keys
from llmos.security.permissions import OWNER, Permission
from llmos.security.users.users import Users

_PERMISSIONS = frozenset({Permission.INFERENCE})


class BackgroundCallers:
    """Any thread may use it."""

    def __init__(self, keys: Keys, users: Users, *, clock: Clock = utc_now) -> None:
        self._keys, self._users, self._clock = keys, users, clock

    def caller(self, project: str, key_id: str | None, what: str) -> Caller:
        """Return the key or user as it is now, with the permission to run models and no other.

        `key_id`: of the key or user that began the work; None and `owner` for the installation's owner, who is called
        `what` then. Raises NotFound and Unauthenticated if the key doesn't work any more: the work doesn't outlive it.
        """
        if key_id is None or key_id == OWNER:
            return Caller(project=project, key_id=what, permissions=_PERMISSIONS, is_background=True)
        if (user := user_of_key_id(key_id)) is not None:
            caller = self._users.caller(user, project=project)
        else:
            key = self._keys.get(key_id, project=project)
            check_works(key, self._clock())
            caller = caller_of(key)
        return replace(caller, permissions=caller.permissions & _PERMISSIONS, is_background=True)
