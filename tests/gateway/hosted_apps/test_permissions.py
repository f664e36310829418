"""Permissions of the key of an application, by its app.yaml."""

from llmos.core.schemas.app_manifests import AppManifest, KnowledgeManifest, PromptReference
from llmos.gateway.hosted_apps.supervisor import permissions_of
from llmos.security.permissions import Permission


def test_a_key_may_read_what_the_manifest_names() -> None:
    plain = set(permissions_of(AppManifest(name="support", prompt="Be brief.")))
    assert plain.isdisjoint({Permission.PROMPTS_READ, Permission.KNOWLEDGE_READ})
    with_prompt = permissions_of(AppManifest(name="support", prompt=PromptReference(name="support", alias="prod")))
    assert set(with_prompt) - plain == {Permission.PROMPTS_READ}
    with_knowledge = permissions_of(AppManifest(name="support", knowledge=KnowledgeManifest(name="faq")))
    assert set(with_knowledge) - plain == {Permission.KNOWLEDGE_READ}
