"""llmos fit: whether a model fits this machine, how fast it will be, and what would fit where it doesn't."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, readable_size, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import Settings, load_settings

if TYPE_CHECKING:
    from llmos.engine.config import EngineConfig
    from llmos.engine.sizing.fit import Fit, MemoryPlanner
    from llmos.engine.sizing.machine import MachineProfile
    from llmos.engine.sizing.speed import Speed
    from llmos.models.registry import Registry
    from llmos.models.versions.versions import Version

_PROMPT, _OUTPUT = 512, 128
"""What speed is told for, where the context has room for it."""


def register(app: typer.Typer) -> None:
    app.command("fit")(fit)


def fit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model or a route, or the path of a file or folder.")],
    context: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Tokens of prompt and answer together that each stream may have."),
    ] = None,
    streams: Annotated[int | None, typer.Option(min=1, metavar="S", help="Streams as long as that at once.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's speed once more.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Say whether a model fits this machine's memory, and how fast it will be, before it is loaded.

    With neither --context nor --streams: for what `llmos serve` does. The exit status is 1 where it doesn't fit.
    """
    from llmos.engine.config import EngineConfig
    from llmos.engine.sizing.fit import MemoryPlanner

    settings = load_settings()
    config = EngineConfig.from_options(settings.engine_options)
    registry, version, files = _find(model, settings)
    if not files:
        _say_roughly(model, registry, as_json)
        return
    fitting = MemoryPlanner.from_files(files, config)
    asked = fitting.fit(context=context, streams=streams)
    choices = [] if asked.fits else list(_choices(model, fitting, asked, registry, version, config))
    speed = _speed(fitting, asked, settings, measure)
    if as_json:
        print_json(_facts(model, version, asked, speed, choices))
    else:
        _print(model, version, fitting, asked, speed, choices, is_asked=bool(context or streams))
    if not asked.fits:
        raise typer.Exit(1)


def _find(model: str, settings: Settings) -> "tuple[Registry, Version | None, Mapping[str, Path]]":
    """Return the files of the model; none where the catalog has it, but this machine doesn't."""
    from llmos.core.errors import ModelNotFound
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry
    from llmos.models.model_files import find_model_files

    registry = open_registry(settings)
    try:
        version = Routes(registry).resolve_local(model)
    except ModelNotFound:
        if registry.catalog.get(model) is not None:
            return registry, None, {}
        if not Path(model).expanduser().exists():
            raise
        return registry, None, find_model_files(Path(model))
    loadable = registry.loadable(version)
    return registry, loadable.version, loadable.files


def _say_roughly(model: str, registry: "Registry", as_json: bool) -> None:
    """Of a model that isn't here yet only the files' sizes are known."""
    from llmos.core.hardware import inspect_hardware

    entry = registry.catalog.get(model)
    assert entry is not None, "the model was found there"
    size = min(sum(file.size for file in source.files) for source in entry.sources)
    free = inspect_hardware().available_bytes
    if as_json:
        print_json({"model": model, "fits": size < free, "is_estimate": True, "files": size, "available": free})
    else:
        answer = "so it will hardly fail for memory" if 2 * size < free else "which is little for it"
        stdout().print(
            f"{model} isn't here yet. Its files have {readable_size(size)}, and {readable_size(free)} of memory are "
            f"free, {answer}. For the arithmetic: llmos pull {model} && llmos fit {model}"
        )
    if size >= free:
        raise typer.Exit(1)


def _choices(
    model: str,
    fitting: "MemoryPlanner",
    asked: "Fit",
    registry: "Registry",
    version: "Version | None",
    config: "EngineConfig",
) -> Iterator[dict[str, Any]]:
    """Yield what would fit, the nearest first, each with the command that goes there."""
    from llmos.engine.sizing.fit import MemoryPlanner
    from llmos.engine.spec import DecoderSpec

    name = shlex.quote(model)
    fewer, shorter = fitting.with_fewer_streams(asked), fitting.with_shorter_context(asked)
    if fewer is None and shorter is None:
        shorter = fitting.with_shorter_context(fitting.at(asked.context, 1))
    for less in filter(None, (fewer, shorter)):
        command = f"llmos fit {name} --context {less.context} --streams {less.streams}"
        yield _choice(_streams_of(less), less, command)
    if config.kv_dtype != "int8":
        small = MemoryPlanner(fitting.spec, fitting.dtypes, replace(config, kv_dtype="int8"), fitting.hardware)
        again = small.at(asked.context, asked.streams)
        if again.fits:
            yield _choice("keys and values of 8 bits", again, f"LLMOS_KV_DTYPE=int8 llmos fit {name}")
    for other in _relatives(registry, version):
        again = MemoryPlanner.from_files(registry.files(other), config, fitting.hardware).at(
            asked.context, asked.streams
        )
        if again.fits and again.need.weights < asked.need.weights:
            yield _choice(f"{other.ref}, which is here already", again, f"llmos serve {other.ref}")
    made = fitting.in_4_bits(asked)
    if made is not None and made.fits:
        is_calibrated = isinstance(fitting.spec, DecoderSpec) and not fitting.spec.num_experts
        scheme = "gptq" if is_calibrated else "q4_1"
        command = f"llmos quantize {name} --scheme {scheme}"
        if version is None:
            command = f"llmos import {name} --name NAME && llmos quantize NAME --scheme {scheme}"
        yield _choice("the model with 4 bits a weight", made, command)


def _streams_of(fit: "Fit") -> str:
    return f"{fit.streams} {'stream' if fit.streams == 1 else 'streams'} of {fit.context:,} tokens"


def _choice(what: str, fit: "Fit", command: str) -> dict[str, Any]:
    return {"what": what, "bytes": fit.need.total, "command": command}


def _relatives(registry: "Registry", version: "Version | None") -> "Iterator[Version]":
    """Yield the versions that are the same model made otherwise."""
    if version is None:
        return
    family = {version.digest, version.parent} - {None}
    for other in registry.list():
        is_kin = other.model == version.model or {other.digest, other.parent} & family
        if is_kin and other.adapts is None and other.digest != version.digest:
            yield other


def _speed(
    fitting: "MemoryPlanner", asked: "Fit", settings: Settings, again: bool
) -> "tuple[MachineProfile, list[Speed]] | None":
    """Return how fast one stream and all of them will be; None for an encoder, which decodes nothing."""
    from llmos.engine.encoder_spec import EncoderSpec
    from llmos.engine.sizing.machine import load_profile, save_profile
    from llmos.engine.sizing.measure import measure_machine
    from llmos.engine.sizing.speed import SpeedModel

    if isinstance(fitting.spec, EncoderSpec):
        return None
    path, threads, isa = settings.home / "machine.json", fitting.threads, fitting.config.isa
    machine = None if again else load_profile(path, threads=threads, isa=isa)
    if machine is None:
        stderr().print("Measuring this machine, once; it takes some seconds.")
        with progress_bar("steps") as progress:
            machine = measure_machine(
                threads=threads, isa=isa, progress=lambda _, num_done, total: progress("measuring", num_done, total)
            )
        save_profile(path, machine)
    speed_model = SpeedModel(fitting.spec, fitting.plan, fitting.config, machine)
    output = max(1, min(_OUTPUT, asked.context // 2))
    prompt = max(1, min(_PROMPT, asked.context - output))
    counts = dict.fromkeys((1, min(asked.streams, fitting.config.max_sequences)))
    return machine, [speed_model.speed(prompt=prompt, output=output, streams=count) for count in counts]


def _facts(
    model: str,
    version: "Version | None",
    asked: "Fit",
    speed: "tuple[MachineProfile, list[Speed]] | None",
    choices: list[dict[str, Any]],
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model": version.ref if version is not None else model,
        "fits": asked.fits,
        "context": asked.context,
        "streams": asked.streams,
        "bytes": asdict(asked.need) | {"total": asked.need.total, "available": asked.available},
        "choices": choices,
    }
    if speed is not None:
        machine, speeds = speed
        facts["speed"] = [asdict(each) | {"first_token_seconds": each.first_token_seconds} for each in speeds]
        facts["machine"] = asdict(machine) | {
            "bytes_per_second": machine.bytes_per_second,
            "operations_per_second": machine.operations_per_second,
        }
    return facts


def _print(
    model: str,
    version: "Version | None",
    fitting: "MemoryPlanner",
    asked: "Fit",
    speed: "tuple[MachineProfile, list[Speed]] | None",
    choices: list[dict[str, Any]],
    *,
    is_asked: bool,
) -> None:
    out, name = stdout(), version.ref if version is not None else model
    out.print(f"{name} for {_streams_of(asked)}: {'yes' if asked.fits else 'no'}. {asked.sentence}")
    if asked.num_blocks:
        per_token = fitting.block_bytes / 16
        out.print(f"KV cache: {asked.num_blocks * 16:,} tokens, {readable_size(round(per_token))} each.")
    for choice in choices:
        out.print(f"  fits: {choice['what']}, {readable_size(choice['bytes'])} in all → {choice['command']}")
    if not asked.fits and not choices:
        out.print("Nothing near it fits: free some memory, or take a smaller model.")
    if is_asked and asked.fits and asked.num_blocks:
        kv_options = {
            "kv_bytes": asked.need.kv,
            "max_sequences": min(asked.streams, fitting.config.max_batched_tokens),
            "context_length": asked.context,
        }
        told = " ".join(f"--option {key}={value}" for key, value in kv_options.items())
        imported = f"llmos import {shlex.quote(model)} --name NAME && " if version is None else ""
        out.print(f"To have it so: {imported}llmos deploy {'NAME' if imported else shlex.quote(name)} {told}")
    if speed is None:
        return
    machine, speeds = speed
    out.print(
        f"Speed, from what was measured here ({machine.threads} threads, {machine.isa}: "
        f"{machine.bytes_per_second / 1e9:.0f} GB/s, {machine.operations_per_second / 1e12:.2f} T operations/s):"
    )
    first = speeds[0]
    out.print(
        f"  prefill  {first.prefill_tokens_per_second:,.0f} tokens/s: {first.first_token_seconds:.2g} s to the first "
        f"token after a prompt of {first.prompt}"
    )
    for each in speeds:
        whose = "one stream" if each.streams == 1 else f"{each.streams} streams together"
        out.print(f"  decode   {each.decode_tokens_per_second:,.0f} tokens/s for {whose}")
