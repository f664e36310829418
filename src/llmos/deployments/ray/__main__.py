"""Start the driver: python -m llmos.deployments.ray ADDRESS --fd N, where N is a connected socket."""

import argparse
import asyncio
import socket
import sys

from llmos.deployments.ray.messages import NotConnected
from llmos.engine.replica.framing import FrameWriter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--fd", type=int, required=True)
    arguments = parser.parse_args()
    connection = socket.socket(fileno=arguments.fd)
    try:
        from llmos.deployments.ray.driver import serve
    except ImportError as error:
        reason = f"Ray can't be used here ({error}). Install it: pip install llmos[cluster]"
        connection.sendall(FrameWriter().pack(NotConnected(reason)))
        sys.exit(1)
    asyncio.run(serve(connection, arguments.address))


if __name__ == "__main__":
    main()
