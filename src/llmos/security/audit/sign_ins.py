"""Sign-ins of users, as events of the audit log."""

from llmos.security.audit.entries import Event
from llmos.security.callers import user_key_id
from llmos.security.users.sign_in import SignInEvent


def event_of_sign_in(event: SignInEvent) -> Event:
    """Return what the audit log says of a sign-in, a failed try or a sign-out. A wrong name is never in it."""
    is_refused = event.kind == "refused"
    user = "" if event.user is None else event.user
    return Event(
        action="sign_out" if event.kind == "signed_out" else "sign_in",
        outcome="refused" if is_refused else "succeeded",
        project=event.project or "",
        key="" if is_refused or not user else user_key_id(user),
        object=user if is_refused else "",
        address=event.address or "",
        request_id=event.request_id,
        error=event.reason,
        details={"method": event.method},
    )
