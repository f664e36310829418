"""Descriptions of versions, aliases, labels, policies, cards and signatures, as the API and the CLI return them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmos.core.schemas.cards import Card, CardDescription, LimitVerdict
from llmos.core.schemas.models import (
    CatalogEntryDescription,
    MadeDescription,
    ModelDescription,
    ModelFile,
    RemovalDescription,
    VersionDetails,
)
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.signatures import SignatureDescription
from llmos.core.versioning.labels import Labels
from llmos.models.versions.signatures import signer_of
from llmos.models.versions.versions import Removed, Version

if TYPE_CHECKING:
    from llmos.core.versioning.labels import Subject
    from llmos.models.catalog import Entry
    from llmos.models.deriving import DeriveResult
    from llmos.models.policies import Policy
    from llmos.models.registry import Registry


def describe_version(
    version: Version, labels: "Mapping[Subject, Labels]", *, name: str | None = None
) -> ModelDescription:
    """Describe a version. `labels`: those of all models and versions. `name`: the requested name, if it differs."""
    own = labels.get((version.model, version.number), Labels())
    model = labels.get((version.model, 0), Labels())
    return ModelDescription(
        name=name or version.model,
        version=version.ref,
        digest=version.digest,
        family=version.family,
        format=version.format,
        quantization=version.quantization,
        parameters=version.parameters,
        context_length=version.context_length,
        sampling=dict(version.sampling),
        size_bytes=version.size,
        license=version.license,
        source=version.source,
        parent=version.parent,
        recipe=None if version.recipe is None else dict(version.recipe),
        made_by=version.made_by,
        description=own.description,
        tags=dict(own.tags),
        model_description=model.description,
        model_tags=dict(model.tags),
        created_at=version.created_at,
    )


def describe_details(
    registry: "Registry", version: Version, *, name: str | None = None, has_paths: bool = False
) -> VersionDetails:
    """Describe a version with its relations. `has_paths`: include the paths of its files on this machine."""
    details = registry.show(version.ref)
    paths = registry.files(version) if has_paths else {}
    return VersionDetails(
        **_fields(describe_version(version, registry.labels.all(), name=name)),
        versions=list(details.versions),
        aliases=list(details.aliases),
        made_from=details.made_from,
        task=details.task,
        runs=details.unsupported is None,
        unsupported=details.unsupported,
        warnings=list(details.warnings),
        encrypted=registry.is_encrypted(version),
        files=[
            ModelFile(
                name=file.name,
                digest=file.digest,
                size_bytes=file.size,
                path=str(paths[file.name]) if has_paths else None,
            )
            for file in version.files
        ],
    )


def describe_derived(registry: "Registry", result: "DeriveResult", card: Card | None) -> MadeDescription:
    described = describe_version(result.version, registry.labels.all())
    return MadeDescription(**_fields(described), was_here=result.already_existed, remark=result.warning, card=card)


def describe_removal(removed: Removed) -> RemovalDescription:
    return RemovalDescription(
        versions=list(removed.versions), aliases=list(removed.aliases), freed_bytes=removed.freed_bytes
    )


def describe_entry(entry: "Entry", names: Sequence[str]) -> CatalogEntryDescription:
    """Describe a model of the catalog. `names`: the models that are stored."""
    return CatalogEntryDescription(
        name=entry.name,
        description=entry.description,
        license=entry.license,
        template=entry.template,
        download_bytes=entry.sources[0].download_size,
        sources=[source.location for source in entry.sources],
        here=entry.name in names,
    )


def describe_policy(policy: "Policy") -> PolicyDescription:
    return PolicyDescription(
        name=policy.name, value=policy.value, updated_at=policy.updated_at, updated_by=policy.updated_by
    )


def describe_card(card: Card, verdicts: Sequence[LimitVerdict]) -> CardDescription:
    return CardDescription(**_fields(card), limits=list(verdicts))


def describe_signature(version: Version, signature: str) -> SignatureDescription:
    return SignatureDescription(version=version.ref, key=signer_of(signature), signature=signature)


def _fields(described: ModelDescription | Card) -> dict[str, Any]:
    return {name: getattr(described, name) for name in described.__struct_fields__}
