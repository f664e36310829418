"""llmos fit: calculate whether a model fits this machine's memory, how fast it will be, and what would fit instead."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from llmos.cli import options
from llmos.cli.control.opening import is_remote
from llmos.cli.fit_nodes import fit_on_nodes
from llmos.cli.output import print_json, readable_size, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import Settings, load_settings
from llmos.core.schemas.fit import FitDescription

if TYPE_CHECKING:
    from llmos.deployments.fitting import Fitting, ModelToFit
    from llmos.engine.sizing.machine import MachineProfile


def register(app: typer.Typer) -> None:
    app.command("fit")(fit)


def fit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model or a route, or the path of a file or folder.")],
    context: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Context of each stream: tokens of prompt and answer.")
    ] = None,
    streams: Annotated[int | None, typer.Option(min=1, metavar="S", help="Streams at the same time.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's speed again.")] = False,
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Check whether it fits these nodes of the cluster together, as in a,b, or `all`, and how it is split.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check whether a model fits into this machine's memory, and predict its speed, without loading it.

    By default with the settings of `llmos serve`. The exit status is 1 if it doesn't fit. Where LLMOS_ENDPOINT names
    another machine, a stored model is checked there.
    """
    from llmos.deployments.fitting import Fitting

    settings = load_settings()
    if nodes is not None and (context or streams or measure):
        raise typer.BadParameter("--nodes is for one usual stream, and measures nothing: leave the other options out.")
    if is_remote(settings) and not Path(model).expanduser().exists():
        if nodes is not None:
            raise typer.BadParameter("--nodes needs the model's files: run it on the server's machine.")
        _ask_server(model, context, streams, measure, as_json)
        return
    found = _find(model, settings)
    if not found.files:
        _print_estimate(found, as_json)
        return
    if nodes is not None:
        fit_on_nodes(found, nodes, settings, as_json=as_json)
        return
    fitting = Fitting.of(found, settings, context=context, streams=streams)
    # The answer comes first: the speed may have to be measured, which takes some seconds.
    if not as_json:
        _print_memory(fitting, has_limits=bool(context or streams))
    machine = _machine(fitting, settings, measure)
    if as_json:
        print_json(_facts(fitting, machine))
    elif machine is not None:
        _print_speed(fitting, machine)
    if not fitting.fit.fits:
        raise typer.Exit(1)


def _ask_server(model: str, context: int | None, streams: int | None, measure: bool, as_json: bool) -> None:
    """Let the server of another machine check one of its models."""
    from llmos.client import Client

    if measure:
        raise typer.BadParameter(
            "--measure measures this machine, but the model is on the server. Run it on the server's machine."
        )
    with Client() as client:
        found = client.models.fit(model, context=context, streams=streams)
    if as_json:
        print_json(found)
    else:
        _print_description(found)
    if not found.fits:
        raise typer.Exit(1)


def _print_description(found: FitDescription) -> None:
    out = stdout()
    answer, streams = "Yes" if found.fits else "No", "stream" if found.streams == 1 else "streams"
    out.print(f"{answer}: {found.model} for {found.streams} {streams} of {found.context:,} tokens. {found.sentence}")
    for choice in found.choices:
        out.print(f"  fits: {choice.what}, {readable_size(choice.bytes)} in all → {choice.command}")
    for each in found.speed:
        which = "one stream" if each.streams == 1 else f"{each.streams} streams together"
        out.print(f"  decode   {each.decode_tokens_per_second:,.0f} tokens/s for {which}")
    if not found.speed and found.task == "generate":
        out.print("The speed isn't known: run `llmos fit` on the server's machine once, which measures it.")


def _find(name: str, settings: Settings) -> "ModelToFit":
    from llmos.core.errors import ModelNotFound, UnsupportedModel
    from llmos.deployments.fitting import ModelToFit, stored_model
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry
    from llmos.models.model_files import find_model_files
    from llmos.models.versions.file_facts import describe

    registry = open_registry(settings)
    try:
        version = Routes(registry).resolve_local(name)
    except ModelNotFound:
        if registry.catalog.get(name) is not None:
            return ModelToFit(name, registry, None, {})
        if not Path(name).expanduser().exists():
            raise
        files = find_model_files(Path(name))
        if (unsupported := describe(files).unsupported) is not None:
            raise UnsupportedModel(f"{name} can't run: {unsupported}", param="model") from None
        return ModelToFit(name, registry, None, files)
    return stored_model(registry, version, name)


def _print_estimate(model: "ModelToFit", as_json: bool) -> None:
    """Compare the size of the files with the free memory: nothing else is known about a model that wasn't pulled."""
    from llmos.core.hardware import inspect_hardware

    entry, name = model.registry.catalog.get(model.name), model.name
    assert entry is not None, "a model without files is in the catalog"
    size = min(sum(file.size for file in source.files) or source.download_size for source in entry.sources)
    free = inspect_hardware().available_bytes
    if as_json:
        print_json({"model": name, "fits": size < free, "is_estimate": True, "files": size, "available": free})
    else:
        answer = "Probably" if 2 * size < free else "Perhaps not" if size < free else "No"
        stdout().print(
            f"{answer}: {name} isn't here yet. Its files have {readable_size(size)}, and {readable_size(free)} of"
            f" memory are free. For the exact answer: llmos pull {name} && llmos fit {name}"
        )
    if size >= free:
        raise typer.Exit(1)


def _machine(fitting: "Fitting", settings: Settings, measure: bool) -> "MachineProfile | None":
    """Return this machine's speed, measured now if it wasn't before; None for an encoder, which doesn't decode."""
    from llmos.deployments.fitting import profile_path
    from llmos.engine.encoder_spec import EncoderSpec
    from llmos.engine.sizing.machine import save_profile
    from llmos.engine.sizing.measure import measure_machine

    if isinstance(fitting.planner.spec, EncoderSpec):
        return None
    machine = None if measure else fitting.known_machine(settings)
    if machine is None:
        stderr().print("Measuring this machine, once; it takes some seconds.")
        with progress_bar("steps") as progress:
            machine = measure_machine(
                threads=fitting.planner.threads,
                isa=fitting.planner.config.isa,
                progress=lambda _, num_done, total: progress("measuring", num_done, total),
            )
        # Measurements on a busy machine hold only for now, so that they aren't stored.
        if not machine.was_busy:
            save_profile(profile_path(settings), machine)
    return machine


def _facts(fitting: "Fitting", machine: "MachineProfile | None") -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(fitting.describe(machine))
    if machine is not None:
        facts["machine"] = asdict(machine) | {
            "was_busy": machine.was_busy,
            "bytes_per_second": machine.bytes_per_second,
            "operations_per_second": machine.operations_per_second,
        }
    return facts


def _print_memory(fitting: "Fitting", *, has_limits: bool) -> None:
    """Print the answer, and what would fit. `has_limits`: the user asked for a context or a number of streams."""
    from llmos.deployments.fitting import render_streams

    out, fit, choices = stdout(), fitting.fit, list(fitting.choices())
    out.print(f"{'Yes' if fit.fits else 'No'}: {fitting.model.ref} for {render_streams(fit)}. {fit.sentence}")
    if fitting.task != "generate":
        out.print(f"Task: {fitting.task}.")
    if fit.num_blocks:
        out.print(f"KV cache: {fit.num_blocks * 16:,} tokens, {readable_size(fitting.bytes_per_token)} each.")
    if fit.need.states:
        state_bytes, snapshots = readable_size(fitting.planner.state_bytes), fit.num_snapshots
        out.print(
            f"States of recurrent layers: {state_bytes} for each stream, and {snapshots:,} snapshots of this size."
        )
    for choice in choices:
        out.print(f"  fits: {choice.what}, {readable_size(choice.bytes)} in all → {choice.command}")
    if not fit.fits and not choices:
        out.print("Nothing similar fits: free some memory, or use a smaller model.")
    if has_limits and fitting.options:
        out.print(f"To deploy it with these limits: {_deploy_command(fitting)}")


def _deploy_command(fitting: "Fitting") -> str:
    model = fitting.model
    rendered = " ".join(f"--option {name}={value}" for name, value in fitting.options.items())
    if model.version is None:
        return f"llmos import {shlex.quote(model.name)} --name NAME && llmos deploy NAME {rendered}"
    return f"llmos deploy {shlex.quote(model.ref)} {rendered}"


def _print_speed(fitting: "Fitting", machine: "MachineProfile") -> None:
    out, speeds = stdout(), fitting.speeds(machine)
    out.print(
        f"Speed, calculated from measurements of this machine ({machine.threads} threads, {machine.isa}: "
        f"{machine.bytes_per_second / 1e9:.0f} GB/s, {machine.operations_per_second / 1e12:.2f} T operations/s):"
    )
    if machine.was_busy:
        out.print(
            f"The machine was busy: other processes used {machine.other_cores:.1f} cores while it was measured. So"
            " these speeds are too low, and they aren't kept. When the machine is idle, run the command again."
        )
    first = speeds[0]
    out.print(
        f"  prefill  {first.prefill_tokens_per_second:,.0f} tokens/s: {first.first_token_seconds:.2g} s to the first "
        f"token after a prompt of {first.prompt}"
    )
    for each in speeds:
        which = "one stream" if each.streams == 1 else f"{each.streams} streams together"
        out.print(f"  decode   {each.decode_tokens_per_second:,.0f} tokens/s for {which}")
