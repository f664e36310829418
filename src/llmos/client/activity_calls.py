"""The call about what a server does now."""

from llmos.client.call import Call, read_one
from llmos.core.schemas.activity import ActivityDescription


def get_activity() -> Call[ActivityDescription]:
    return Call(method="GET", path="/llmos/v1/activity", read=read_one(ActivityDescription))
