"""The server process: loads the models, serves requests, and shuts down.

SIGTERM or SIGINT   no new requests, running requests finish, exit status 0
a second signal     everything stops at once, exit status 1
SIGHUP              with TLS: the certificate is read again, for new connections
"""

import asyncio
import contextlib
import shlex
import signal
import socket
import time
from collections.abc import Sequence
from typing import Literal

import uvloop

from llmos.core.config import DEFAULT_ENDPOINT, Settings
from llmos.core.errors import InsufficientMemory, LLMOSError
from llmos.deployments.routing.resolution import DEFAULT_ROUTE
from llmos.engine.config import EngineConfig
from llmos.engine.sizing.fit import check_fit_together, check_fits
from llmos.gateway.app import Mount, create_app
from llmos.gateway.listening import allow_open_files, check_exposure, listen
from llmos.gateway.log import messages_logged
from llmos.gateway.opening import open_services
from llmos.gateway.process_memory import share_arenas, spare_garbage_collection
from llmos.gateway.role import ServerRole
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from llmos.gateway.tls import Tls, open_tls
from llmos.models.versions.versions import Loadable
from llmos.security.callers import owner
from llmos.security.tls_certificates import Certificate


def run(
    settings: Settings,
    models: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    mounts: Sequence[Mount] = (),
    role: ServerRole | None = None,
) -> None:
    """Serve `models` until a signal. Port 0 chooses a free port. `role`: the parts of a server; by default all.

    Raises LLMOSError before it listens: for a model that is missing or too large for this machine, for an address that
    is in use or that others reach without TLS, and for a certificate that can't be used. Raises LLMOSError later if a
    model can't be loaded, and SystemExit(1) if a second signal cut running answers short.
    """
    role = role or ServerRole()
    share_arenas()
    has_tls = settings.tls_self_signed or settings.tls_cert is not None
    warning = check_exposure(host, has_tls=has_tls, is_allowed=settings.allow_insecure_network)
    services = open_services(settings, role)
    tls = open_tls(settings, host)
    versions = [version for name in models for version in services.routes.local_versions(name)]
    # Requests carry their adapters, so the base version of an adapter is loaded.
    wanted = {loadable.version.ref: loadable for loadable in map(services.registry.loadable, versions)}
    _check_fits([*wanted.values()], settings)
    services.readiness.wanted.extend(wanted)
    listener = listen(host, port)
    allow_open_files(settings.max_connections)
    if warning is not None:
        services.log.print(f"\n{warning}\n")
    with messages_logged(services.log):
        ended = uvloop.run(_serve(services, list(wanted.values()), listener, tls, mounts, role))
    if ended == "cut short":
        raise SystemExit(1)


def _check_fits(wanted: Sequence[Loadable], settings: Settings) -> None:
    """Raise InsufficientMemory for a model that is too large for this machine, and for models that are together."""
    config = EngineConfig.from_options(settings.engine_options)
    readable = {}
    for loadable in wanted:
        ref = loadable.version.ref
        try:
            check_fits(loadable.files, config)
            readable[ref] = loadable.files
        except InsufficientMemory as error:
            raise InsufficientMemory(f"{ref} isn't served: {error.message} See: llmos fit {ref}") from None
        except LLMOSError:
            pass  # Loading the model reports what is wrong with it.
    check_fit_together(readable, config)


async def _serve(
    services: Services,
    loadables: Sequence[Loadable],
    listener: socket.socket,
    tls: Tls | None,
    mounts: Sequence[Mount],
    role: ServerRole,
) -> Literal["finished", "cut short"]:
    server = Server(create_app(services, mounts), services, tls, role)
    # Deployments are in place before the first request.
    await services.reconciler.reconcile()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load(services, loadables, server))

    def on_signal() -> None:
        if server.is_draining:
            serving.cancel()
        else:
            server.drain()
            services.log.print("Shutting down after running requests finish. Press Ctrl-C again to stop now.")

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    if tls is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, tls, services)
    _print_address(services, listener, tls, role)
    await asyncio.wait([serving])
    loading.cancel()
    await services.pool.close(drain=not serving.cancelled())
    if services.ray_leases is not None:
        await services.ray_leases.close()
    await services.cluster_head.close()
    if serving.cancelled():
        return "cut short"
    await serving
    with contextlib.suppress(asyncio.CancelledError):
        await loading  # Raises the error of a model that could not be loaded.
    return "finished"


async def _load(services: Services, loadables: Sequence[Loadable], server: Server) -> None:
    """Load the models one after another. The server stops if one of them can't be loaded."""
    for loadable in loadables:
        version = loadable.version
        services.log.print(f"Loading {version.ref} …")
        began = time.perf_counter()
        try:
            await services.pipeline.load(version.ref, owner(), wait=True)
        except LLMOSError as error:
            server.drain()
            raise type(error)(f"{version.ref} can't be loaded: {error.message}", param=error.param) from error
        services.log.print(f"Loaded {version.ref} in {time.perf_counter() - began:.1f} s.")
    spare_garbage_collection()
    services.log.print("Ready. Press Ctrl-C to stop.")


def _reload(tls: Tls, services: Services) -> None:
    try:
        found = tls.reload()
    except LLMOSError as error:
        services.log.print(f"The certificate is not reloaded; the one before stays in use. {error.message}")
    else:
        services.log.print(f"Reloaded the certificate. {_described(found)}")


def _described(certificate: Certificate) -> str:
    return f"It expires on {certificate.expires_at:%Y-%m-%d}. SHA-256 {certificate.fingerprint}"


def _print_address(services: Services, listener: socket.socket, tls: Tls | None, role: ServerRole) -> None:
    host, port = listener.getsockname()[:2]
    # The server listens on every address; print one that a program on this machine can use.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    key_path = shlex.quote(str(services.settings.owner_key_path))
    scheme, curl = "http" if tls is None else "https", "curl"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if not role.answers_callers:
        services.log.print(f"The worker's health: {url}/health/ready")
        return
    services.log.print(f"LLMOS is listening on {url}; the API key is in {key_path}.")
    if tls is not None:
        services.log.print(f"The certificate is in {tls.certificate_path}. {_described(tls.certificate)}")
        if tls.is_self_signed:
            curl += f" --cacert {shlex.quote(str(tls.certificate_path))}"
    if url != DEFAULT_ENDPOINT:
        services.log.print(f"The CLI and clients on this machine need: export LLMOS_ENDPOINT={url}")
    services.log.print(f"""Try:\n\n{curl} {url}/v1/chat/completions -H "Authorization: Bearer $(cat {key_path})" \\
  -d '{{"model": "{DEFAULT_ROUTE}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'\n""")
