"""The password of a registry is sent only to the registry and its token service."""

import httpx
import pytest

from llmos.core.errors import DownloadFailed
from llmos.models.sources.oci import client
from llmos.models.sources.oci.client import Repository
from llmos.models.sources.oci.image_reference import ImageReference

HERE = ImageReference(host="registry.test", repository="models/tiny", tag="v1")


@pytest.fixture
def repository_of(monkeypatch):
    """Return a function that creates a repository with scripted responses, and the list of requests it gets."""

    def repository_of(answer):
        seen = []

        def hear(request):
            seen.append((request.url.host, request.headers.get("Authorization", "").partition(" ")[0]))
            return answer(request)

        plain = httpx.Client
        monkeypatch.setattr(
            client.httpx, "Client", lambda **options: plain(transport=httpx.MockTransport(hear), **options)
        )
        return Repository(HERE, ("ada", "secret")), seen

    return repository_of


def challenge(realm):
    return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="test"'})


def test_the_token_service_gets_the_password_and_the_registry_its_token(repository_of):
    def answer(request):
        if request.url.host == "auth.test":
            return httpx.Response(200, json={"token": "t"})
        return httpx.Response(200) if "Authorization" in request.headers else challenge("https://auth.test/token")

    repository, seen = repository_of(answer)
    assert repository.has_blob("sha256:00")
    assert seen == [("registry.test", ""), ("auth.test", "Basic"), ("registry.test", "Bearer")]


def test_an_open_line_to_another_host_is_refused(repository_of):
    repository, seen = repository_of(lambda request: challenge("http://auth.test/token"))
    with pytest.raises(DownloadFailed, match=r"password would be sent to auth\.test without encryption"):
        repository.has_blob("sha256:00")
    assert seen == [("registry.test", "")]


def test_where_a_redirect_leads_may_not_ask_for_the_password(repository_of):
    def answer(request):
        if request.url.host == "registry.test":
            return httpx.Response(307, headers={"Location": "https://elsewhere.test/blob"})
        return challenge("https://elsewhere.test/token")

    repository, seen = repository_of(answer)
    with pytest.raises(DownloadFailed, match="needs permission"):
        repository.has_blob("sha256:00")
    assert seen == [("registry.test", ""), ("elsewhere.test", "")]


def test_an_upload_that_goes_elsewhere_takes_no_password_along(repository_of):
    def answer(request):
        if request.url.host == "elsewhere.test":
            return httpx.Response(201)
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        if request.method == "HEAD":
            return httpx.Response(404)
        return httpx.Response(202, headers={"Location": "https://elsewhere.test/upload"})

    repository, seen = repository_of(answer)
    assert repository.push_blob("sha256:00", 3, lambda: iter([b"abc"]))
    assert seen[-1] == ("elsewhere.test", "")
