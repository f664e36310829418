"""renew_node: gets a new certificate for a node from its head, over a connection that the old one opens."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

from llmos.core.clock import Clock
from llmos.core.errors import ConnectionFailed
from llmos.deployments.cluster.authority import make_request
from llmos.deployments.cluster.joining import Membership, connect
from llmos.deployments.cluster.link import LinkClosed
from llmos.deployments.cluster.messages import Refused, Renew, Renewed
from llmos.deployments.cluster.renewal import is_renewal_due
from llmos.security.tls_certificates import write_private

ANSWER_SECONDS = 10.0


async def renew_node(folder: Path, membership: Membership, contexts: Sequence[ssl.SSLContext], *, clock: Clock) -> bool:
    """Get a new certificate if the node's ends soon, and load it into `contexts`. Return whether it did.

    Raises what connect() raises, and what the head says.
    """
    if not await asyncio.to_thread(is_renewal_due, folder, "node", clock):
        return False
    request = await asyncio.to_thread(make_request, folder / "node.key", membership.name)
    link = await connect((membership.host, membership.port), contexts[0])
    try:
        link.send(Renew(request))
        async with asyncio.timeout(ANSWER_SECONDS):
            reply = await link.receive()
    except (LinkClosed, TimeoutError) as error:
        raise ConnectionFailed(f"The head didn't renew the certificate: {error or 'no reply'}.") from None
    finally:
        link.close()
    if isinstance(reply, Refused):
        raise reply.error()
    if not isinstance(reply, Renewed):
        raise ConnectionFailed("The head didn't renew the certificate.")
    await asyncio.to_thread(write_private, folder / "node.pem", reply.certificate.encode())
    for context in contexts:
        context.load_cert_chain(folder / "node.pem", folder / "node.key")
    return True
