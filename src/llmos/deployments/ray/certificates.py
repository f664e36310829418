"""The credentials of a machine in a Ray cluster: a certificate for its address, and a token that all machines share.

Their authority is not the one of LLMOS's own nodes: a certificate of Ray opens nothing of LLMOS.
"""

import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, StoreFailed
from llmos.deployments.cluster.authority import has_authority, make_authority, open_authority
from llmos.security.tls_certificates import write_private


@dataclass(frozen=True, slots=True, kw_only=True)
class RayFiles:
    """The files of one machine, and the variables with which Ray finds them."""

    folder: Path
    address: str

    @property
    def variables(self) -> dict[str, str]:
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(self.folder / "ray.pem"),
            "RAY_TLS_SERVER_KEY": str(self.folder / "ray.key"),
            "RAY_TLS_CA_CERT": str(self.folder / "authority.pem"),
        }


def write_ray_files(cluster: Path, folder: Path, address: str, *, clock: Clock = utc_now) -> RayFiles:
    """Write the files of the machine with this IP address. `cluster`: the folder of the cluster's authority.

    Raises Conflict where there is no cluster, BadRequest for what is no address, StoreFailed.
    """
    open_authority(cluster)
    try:
        ip = ip_address(address)
    except ValueError:
        raise BadRequest(f"{address[:80]} is no IP address; Ray knows its nodes by them.", param="address") from None
    own = cluster / "ray"
    try:
        if not has_authority(own):
            own.mkdir(mode=0o700, exist_ok=True)
            write_private(own / "token", secrets.token_hex(32).encode())
            make_authority(own, clock=clock)
        key, certificate = open_authority(own).make_certificate(ip, clock=clock)
        files = RayFiles(folder=folder.absolute(), address=address)
        write_private(folder / "token", (own / "token").read_bytes())
        write_private(folder / "authority.pem", (own / "authority.pem").read_bytes())
        write_private(folder / "ray.key", key)
        write_private(folder / "ray.pem", certificate)
        lines = [f"export {name}={value}\n" for name, value in files.variables.items()]
        write_private(folder / "ray.env", "".join(lines).encode())
    except OSError as error:
        raise StoreFailed(f"The files for Ray can't be written into {folder}: {error.strerror}.") from None
    return files
