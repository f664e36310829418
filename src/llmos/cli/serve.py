"""llmos serve, worker: run a server, or a part of one, on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from llmos.core.config import LogFormat, load_settings
from llmos.core.errors import BadRequest

WORKER_PORT = 8002

Log = Annotated[
    LogFormat | None,
    typer.Option(help="Log of calls and of deployments' events. By default LLMOS_LOG, or text."),
]


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("worker")(worker)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Models to load at start; by default the target of the route `dialogue`."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all network interfaces.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one. By default LLMOS_PORT, or 8000."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin of web pages that may call the server, such as https://app.example.com, or * for all; "
            "repeatable. Pages of this machine are always allowed.  [env var: LLMOS_ALLOW_ORIGIN]",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Serve HTTPS with this certificate, in PEM with its chain.  [env var: LLMOS_TLS_CERT]"
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate's key: PEM, without a password.  [env var: LLMOS_TLS_KEY]"),
    ] = None,
    tls_self_signed: Annotated[
        bool,
        typer.Option(
            "--tls-self-signed",
            help="Serve HTTPS with a certificate that LLMOS makes itself, in LLMOS_HOME/keys.  "
            "[env var: LLMOS_TLS_SELF_SIGNED]",
        ),
    ] = False,
    allow_insecure_network: Annotated[
        bool,
        typer.Option(
            "--allow-insecure-network",
            help="Listen on other addresses than this machine's own without TLS: behind a proxy, on a network that you "
            "trust.  [env var: LLMOS_ALLOW_INSECURE_NETWORK]",
        ),
    ] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Proxy in front of the server, or its network, whose X-Forwarded-For or Forwarded is trusted; "
            "repeatable.  [env var: LLMOS_TRUSTED_PROXIES]",
        ),
    ] = None,
    no_console: Annotated[bool, typer.Option("--no-console", help="Leave out the web pages below /console.")] = False,
    without_replicas: Annotated[
        bool,
        typer.Option("--without-replicas", help="Run no replicas on this machine: all run on nodes (`llmos node`)."),
    ] = False,
    without_jobs: Annotated[
        bool,
        typer.Option("--without-jobs", help="Run no batches and jobs; `llmos worker` or another server runs them."),
    ] = False,
    log: Log = None,
) -> None:
    """Serve models over HTTP until Ctrl-C.

    Other machines reach it with --host, and then it needs TLS: --tls-cert and --tls-key, or --tls-self-signed.
    SIGHUP reads the certificate again.

    Models of the catalog that aren't stored yet are downloaded first. Other models are loaded at their first request.
    """
    from llmos.core.garbage import without_collections

    with without_collections():
        from llmos.cli.backends import find_or_pull
        from llmos.console import CONSOLE_PATH, open_console
        from llmos.core.config import parse_networks, parse_origins
        from llmos.deployments.routing.resolution import DEFAULT_ROUTE
        from llmos.gateway.app import Mount, endpoint_modules
        from llmos.gateway.role import ServerRole
        from llmos.gateway.serving import run

        endpoint_modules()

    settings = load_settings()
    if allow_origin:
        settings = replace(settings, allow_origins=parse_origins(" ".join(allow_origin)))
    if trusted_proxy:
        settings = replace(settings, trusted_proxies=parse_networks(" ".join(trusted_proxy), "--trusted-proxy"))
    if tls_self_signed:
        settings = replace(settings, tls_self_signed=True, tls_cert=tls_cert, tls_key=tls_key)
    elif tls_cert is not None or tls_key is not None:
        # A pair: a key from the environment belongs to the certificate there.
        settings = replace(settings, tls_self_signed=False, tls_cert=tls_cert, tls_key=tls_key)
    if allow_insecure_network:
        settings = replace(settings, allow_insecure_network=True)
    if log is not None:
        settings = replace(settings, log=log)
    if without_replicas and models:
        raise BadRequest(
            "With --without-replicas, no model is loaded here. Start it without MODEL, and deploy the model on nodes: "
            f"llmos deploy {models[0]} --on nodes",
            param="models",
        )
    role = ServerRole(runs_replicas=not without_replicas, runs_jobs=not without_jobs)
    wanted = [] if without_replicas else models or [DEFAULT_ROUTE]
    for name in wanted:
        find_or_pull(name, settings)
    mounts = [] if no_console else [Mount(CONSOLE_PATH, open_console(), "console", asks_visitors=True)]
    run(settings, wanted, host, settings.port if port is None else port, mounts=mounts, role=role)


def worker(
    host: Annotated[
        str, typer.Option(help="Address of /health and /metrics; 0.0.0.0 for all network interfaces.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /health and /metrics; 0 picks a free one.")
    ] = WORKER_PORT,
    log: Log = None,
) -> None:
    """Run the batches and jobs of servers that share this LLMOS_HOME and database, until Ctrl-C.

    One process at a time runs the batches and jobs of an installation: others wait until it ends. The servers need
    --without-jobs. A worker loads the models that batches ask for on its own machine, and ends them when they are idle.
    """
    from llmos.core.garbage import without_collections

    with without_collections():
        from llmos.gateway.app import endpoint_modules
        from llmos.gateway.role import WORKER
        from llmos.gateway.serving import run

        endpoint_modules()

    settings = load_settings()
    run(settings if log is None else replace(settings, log=log), [], host, port, role=WORKER)
