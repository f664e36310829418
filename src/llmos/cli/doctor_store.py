"""llmos doctor --store: read every byte of the store and of packed weights, and report damaged files, what needs them,
and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from llmos.cli.finding import Finding, mark
from llmos.cli.output import print_json, readable_size, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.models.inspection import Damage, Inspection
    from llmos.models.registry import Registry


@dataclass(frozen=True, slots=True)
class _DamagedVersion:
    """A damaged version, and what needs it."""

    damage: "Damage"
    routes: list[str]
    deployments: list[str]
    repair: str


def doctor_store(packed: Sequence[Finding], *, set_aside: bool, collect: bool, as_json: bool) -> None:
    """`packed`: the findings about packed weights. Exits with 1 if a version or packed weights are damaged."""
    from llmos.models import open_registry
    from llmos.models.inspection import how_to_repair, inspect_store, num_bytes_to_read

    registry = open_registry(load_settings())
    total = num_bytes_to_read(registry)
    with progress_bar() as progress:
        inspection = inspect_store(registry, lambda num_done: progress("reading the store", num_done, total))
    damaged = [
        _DamagedVersion(damage, *_dependents(registry, damage), how_to_repair(registry, damage.version))
        for damage in inspection.damages
    ]
    moved = registry.store.set_aside(sorted(inspection.damaged)) if set_aside and inspection.damaged else []
    freed_bytes = registry.collect() if collect else 0
    if as_json:
        sound = not inspection.damaged and all(each.ok for each in packed)
        facts = _facts(inspection, damaged) | {"ok": sound, "packed": [_packed_facts(each) for each in packed]}
        print_json(facts | {"set_aside": moved, "freed_bytes": freed_bytes})
    else:
        for line in _lines(inspection, damaged, is_set_aside=set_aside, is_collected=collect):
            stdout().print(line)
        for each_packed in packed:
            stdout().print(mark(ok=each_packed.ok) + Text(each_packed.found))
            if each_packed.advice:
                stdout().print(f"     → {each_packed.advice}")
        for path in moved:
            stdout().print(f"     set aside: {path}")
        if collect:
            stdout().print(f"     {readable_size(freed_bytes)} freed")
    if inspection.damaged or not all(each.ok for each in packed):
        raise typer.Exit(1)


def _dependents(registry: "Registry", damage: "Damage") -> tuple[list[str], list[str]]:
    from llmos.deployments.desired.deployments import Deployments
    from llmos.deployments.routing.routes import Routes

    ref, routes = damage.version.ref, Routes(registry)
    leading = [route.name for route in routes.list() if ref in routes.refs(route.name)]
    deployed = [each.ref for each in Deployments(registry.database, registry).list() if each.ref == ref]
    return leading, deployed


def _lines(
    inspection: "Inspection", damaged: list[_DamagedVersion], *, is_set_aside: bool, is_collected: bool
) -> "list[Text | str]":
    lines: list[Text | str] = []
    for each in damaged:
        version = each.damage.version
        for name, reason in each.damage.reasons.items():
            lines.append(mark(ok=False) + Text(f"{name} of {version.ref} {reason}"))
        if each.damage.adapted:
            lines.append(mark(ok=False) + Text(f"{version.ref} changes {each.damage.adapted}"))
        for what, names in (
            ("aliases", each.damage.aliases),
            ("routes", each.routes),
            ("deployments", each.deployments),
        ):
            if names:
                lines.append(f"     {what} that need it: {', '.join(names)}")
        if each.damage.reasons:
            first = "" if is_set_aside else "llmos doctor --store --set-aside, then: "
            lines.append(f"     → {first}{each.repair}")
    for digest, users in inspection.other_users.items():
        lines.append(mark(ok=False) + Text(f"{digest} of {', '.join(users)} {inspection.damaged[digest]}"))
        first = "" if is_set_aside else "llmos doctor --store --set-aside, then "
        lines.append(
            f"     → {first}make the same again (rows, documents, a prompt, an app); the version stays the same"
        )
    unneeded = inspection.damaged.keys() & {digest for digest, _ in inspection.orphans}
    lines += [f"FIX  {digest} {inspection.damaged[digest]}; no version needs it" for digest in unneeded]
    if not inspection.damaged:
        found = f"files: {inspection.num_files}, {readable_size(inspection.num_bytes)}, all digests match"
        lines.append(mark(ok=True) + Text(found))
    if inspection.orphans and not is_collected:
        size = readable_size(sum(size for _, size in inspection.orphans))
        lines.append(f"     files that no version needs: {len(inspection.orphans)}, {size}")
        lines.append("     → llmos doctor --store --collect")
    for path, num_bytes in inspection.unfinished:
        lines.append(f"     an incomplete download of {readable_size(num_bytes)}: {path}")
        lines.append("     → `llmos pull` continues it; or delete the file.")
    return lines


def _facts(inspection: "Inspection", damaged: list[_DamagedVersion]) -> dict[str, Any]:
    return {
        "ok": not inspection.damaged,
        "num_files": inspection.num_files,
        "num_bytes": inspection.num_bytes,
        "damaged": [{"digest": digest, "reason": reason} for digest, reason in inspection.damaged.items()],
        "versions": [
            {
                "version": each.damage.version.ref,
                "files": dict(each.damage.reasons),
                "adapts": each.damage.adapted,
                "aliases": list(each.damage.aliases),
                "routes": each.routes,
                "deployments": each.deployments,
                "repair": each.repair,
            }
            for each in damaged
        ],
        "others": {digest: list(users) for digest, users in inspection.other_users.items()},
        "orphans": [{"digest": digest, "num_bytes": size} for digest, size in inspection.orphans],
        "unfinished": [{"path": path, "num_bytes": num_bytes} for path, num_bytes in inspection.unfinished],
    }


def _packed_facts(finding: Finding) -> dict[str, Any]:
    return {"ok": finding.ok, "found": finding.found, "advice": finding.advice}
