"""The call about what the server's checks of itself find."""

from llmos.client.call import Call, read_one
from llmos.core.schemas.doctor import DoctorReport


def get_doctor_report() -> Call[DoctorReport]:
    return Call(method="GET", path="/llmos/v1/doctor", read=read_one(DoctorReport))
