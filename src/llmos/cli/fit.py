"""llmos fit: calculate whether a model fits this machine's memory, how fast it will be, and what would fit instead."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, readable_size, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import Settings, load_settings

if TYPE_CHECKING:
    from llmos.engine.sizing.fit import Fit, MemoryPlanner
    from llmos.engine.sizing.machine import MachineProfile
    from llmos.engine.sizing.speed import Speed
    from llmos.models.registry import Registry
    from llmos.models.versions.versions import Version

_PROMPT_TOKENS, _OUTPUT_TOKENS = 512, 128
"""The lengths that the speed is calculated for, if the context has room for them."""


@dataclass(frozen=True, slots=True)
class _Model:
    """The model that the user named."""

    name: str
    registry: "Registry"
    version: "Version | None"
    """None for files that aren't stored, and for a model of the catalog that wasn't pulled."""
    files: Mapping[str, Path]
    """Empty for a model of the catalog that wasn't pulled."""

    @property
    def ref(self) -> str:
        return self.name if self.version is None else self.version.ref


@dataclass(frozen=True, slots=True)
class _Report:
    model: _Model
    planner: "MemoryPlanner"
    fit: "Fit"
    choices: list[dict[str, Any]]
    """Alternatives that would fit, the nearest first, each with the command for it."""
    speed: "tuple[MachineProfile, list[Speed]] | None"
    """None for an encoder, which doesn't decode."""


def register(app: typer.Typer) -> None:
    app.command("fit")(fit)


def fit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model or a route, or the path of a file or folder.")],
    context: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Context of each stream: tokens of prompt and answer.")
    ] = None,
    streams: Annotated[int | None, typer.Option(min=1, metavar="S", help="Streams at the same time.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's speed again.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check whether a model fits this machine's memory, and how fast it will be, without loading it.

    By default for the settings of `llmos serve`. The exit status is 1 if it doesn't fit.
    """
    from llmos.engine.config import EngineConfig
    from llmos.engine.sizing.fit import MemoryPlanner

    settings = load_settings()
    found = _find(model, settings)
    if not found.files:
        _print_estimate(found, as_json)
        return
    planner = MemoryPlanner.from_files(found.files, EngineConfig.from_options(settings.engine_options))
    fitted = planner.fit(context=context, streams=streams)
    choices = [] if fitted.fits else list(_choices(found, planner, fitted))
    # The answer comes first: the speed may have to be measured, which takes some seconds.
    if not as_json:
        _print_memory(_Report(found, planner, fitted, choices, None), has_limits=bool(context or streams))
    report = _Report(found, planner, fitted, choices, _speed(planner, fitted, settings, measure))
    if as_json:
        print_json(_facts(report))
    else:
        _print_speed(report)
    if not fitted.fits:
        raise typer.Exit(1)


def _find(name: str, settings: Settings) -> _Model:
    from llmos.core.errors import ModelNotFound, UnsupportedModel
    from llmos.deployments.routing.routes import Routes
    from llmos.models import open_registry
    from llmos.models.model_files import find_model_files
    from llmos.models.versions.file_facts import describe

    registry = open_registry(settings)
    try:
        version = Routes(registry).resolve_local(name)
    except ModelNotFound:
        if registry.catalog.get(name) is not None:
            return _Model(name, registry, None, {})
        if not Path(name).expanduser().exists():
            raise
        files = find_model_files(Path(name))
        if (unsupported := describe(files).unsupported) is not None:
            raise UnsupportedModel(f"{name} can't run: {unsupported}", param="model") from None
        return _Model(name, registry, None, files)
    registry.check_runs(version)
    loadable = registry.loadable(version)
    return _Model(name, registry, loadable.version, loadable.files)


def _print_estimate(model: _Model, as_json: bool) -> None:
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


def _choices(model: _Model, planner: "MemoryPlanner", fitted: "Fit") -> Iterator[dict[str, Any]]:
    """Yield what would fit, the nearest first, each with the command for it."""
    from llmos.engine.sizing.fit import MemoryPlanner
    from llmos.engine.spec import DecoderSpec

    name, config = shlex.quote(model.name), planner.config
    fewer, shorter = planner.with_fewer_streams(fitted), planner.with_shorter_context(fitted)
    if fewer is None and shorter is None:
        shorter = planner.with_shorter_context(planner.at(fitted.context, 1))
    for less in filter(None, (fewer, shorter)):
        yield _choice(
            _render_streams(less), less, f"llmos fit {name} --context {less.context} --streams {less.streams}"
        )
    if config.kv_dtype != "int8":
        small = MemoryPlanner(planner.spec, planner.dtypes, replace(config, kv_dtype="int8"), planner.hardware)
        fit = small.at(fitted.context, fitted.streams)
        if fit.fits:
            yield _choice("a KV cache of 8 bits", fit, f"LLMOS_KV_DTYPE=int8 llmos fit {name}")
    for other in _relatives(model):
        related = MemoryPlanner.from_files(model.registry.files(other), config, planner.hardware)
        fit = related.at(fitted.context, fitted.streams)
        if fit.fits and fit.need.weights < fitted.need.weights:
            yield _choice(f"{other.ref}, which is stored", fit, f"llmos serve {other.ref}")
    quantized = planner.in_4_bits(fitted)
    if quantized is not None and quantized.fits:
        is_calibrated = isinstance(planner.spec, DecoderSpec) and not planner.spec.num_experts
        scheme = "gptq" if is_calibrated else "q4_1"
        command = f"llmos quantize {name} --scheme {scheme}"
        if model.version is None:
            command = f"llmos import {name} --name NAME && llmos quantize NAME --scheme {scheme}"
        yield _choice("the model with 4 bits per weight", quantized, command)


def _render_streams(fit: "Fit") -> str:
    return f"{fit.streams} {'stream' if fit.streams == 1 else 'streams'} of {fit.context:,} tokens"


def _choice(what: str, fit: "Fit", command: str) -> dict[str, Any]:
    return {"what": what, "bytes": fit.need.total, "command": command}


def _relatives(model: _Model) -> "Iterator[Version]":
    """Yield the stored versions that were made from the same model."""
    if (version := model.version) is None:
        return
    family = {version.digest, version.parent} - {None}
    for other in model.registry.list():
        is_related = other.model == version.model or {other.digest, other.parent} & family
        if is_related and other.adapts is None and other.digest != version.digest:
            yield other


def _speed(
    planner: "MemoryPlanner", fitted: "Fit", settings: Settings, measure: bool
) -> "tuple[MachineProfile, list[Speed]] | None":
    """Return the speed of one stream and of all streams. Measures the machine if it wasn't measured yet."""
    from llmos.engine.encoder_spec import EncoderSpec
    from llmos.engine.sizing.machine import load_profile, save_profile
    from llmos.engine.sizing.measure import measure_machine
    from llmos.engine.sizing.speed import SpeedModel

    if isinstance(planner.spec, EncoderSpec):
        return None
    path, threads, isa = settings.home / "machine.json", planner.threads, planner.config.isa
    machine = None if measure else load_profile(path, threads=threads, isa=isa)
    if machine is None:
        stderr().print("Measuring this machine, once; it takes some seconds.")
        with progress_bar("steps") as progress:
            machine = measure_machine(
                threads=threads, isa=isa, progress=lambda _, num_done, total: progress("measuring", num_done, total)
            )
        # What was measured on a busy machine holds for now only.
        if not machine.was_busy:
            save_profile(path, machine)
    speed_model = SpeedModel(planner.spec, planner.plan, planner.config, machine)
    output = max(1, min(_OUTPUT_TOKENS, fitted.context // 2))
    prompt = max(1, min(_PROMPT_TOKENS, fitted.context - output))
    counts = dict.fromkeys((1, min(fitted.streams, planner.config.max_sequences)))
    return machine, [speed_model.speed(prompt=prompt, output=output, streams=count) for count in counts]


def _facts(report: _Report) -> dict[str, Any]:
    fit = report.fit
    facts: dict[str, Any] = {
        "model": report.model.ref,
        "task": _task(report),
        "fits": fit.fits,
        "context": fit.context,
        "streams": fit.streams,
        "bytes": asdict(fit.need) | {"total": fit.need.total, "available": fit.available},
        "choices": report.choices,
    }
    if report.speed is not None:
        machine, speeds = report.speed
        facts["speed"] = [asdict(each) | {"first_token_seconds": each.first_token_seconds} for each in speeds]
        facts["machine"] = asdict(machine) | {
            "was_busy": machine.was_busy,
            "bytes_per_second": machine.bytes_per_second,
            "operations_per_second": machine.operations_per_second,
        }
    return facts


def _print_memory(report: _Report, *, has_limits: bool) -> None:
    """Print the answer, and what would fit. `has_limits`: the user asked for a context or a number of streams."""
    out, fit = stdout(), report.fit
    out.print(f"{'Yes' if fit.fits else 'No'}: {report.model.ref} for {_render_streams(fit)}. {fit.sentence}")
    if (task := _task(report)) != "generate":
        out.print(f"Task: {task}.")
    if fit.num_blocks:
        per_token = report.planner.block_bytes / 16
        out.print(f"KV cache: {fit.num_blocks * 16:,} tokens, {readable_size(round(per_token))} each.")
    if fit.need.states:
        state_bytes, snapshots = readable_size(report.planner.state_bytes), fit.num_snapshots
        out.print(
            f"States of recurrent layers: {state_bytes} for each stream, and {snapshots:,} snapshots of this size."
        )
    for choice in report.choices:
        out.print(f"  fits: {choice['what']}, {readable_size(choice['bytes'])} in all → {choice['command']}")
    if not fit.fits and not report.choices:
        out.print("Nothing similar fits: free some memory, or use a smaller model.")
    if has_limits and fit.fits and fit.num_blocks:
        out.print(f"To deploy it with these limits: {_deploy_command(report)}")


def _task(report: _Report) -> str:
    from llmos.engine.encoder_spec import task_of_spec

    return task_of_spec(report.planner.spec)


def _deploy_command(report: _Report) -> str:
    fit, model = report.fit, report.model
    engine_options = {
        "kv_bytes": fit.need.kv,
        **({"snapshot_bytes": fit.num_snapshots * report.planner.state_bytes} if fit.need.states else {}),
        "max_sequences": min(fit.streams, report.planner.config.max_batched_tokens),
        "context_length": fit.context,
    }
    rendered = " ".join(f"--option {name}={value}" for name, value in engine_options.items())
    if model.version is None:
        return f"llmos import {shlex.quote(model.name)} --name NAME && llmos deploy NAME {rendered}"
    return f"llmos deploy {shlex.quote(model.ref)} {rendered}"


def _print_speed(report: _Report) -> None:
    if report.speed is None:
        return
    out, (machine, speeds) = stdout(), report.speed
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
