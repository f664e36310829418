"""Screenshots of pages for docs/console.md, in both colors. Only on purpose, since fonts differ between machines:

pytest -n 0 tests/console/browser/test_screenshots.py --screenshots take       # write docs/images/console
pytest -n 0 tests/console/browser/test_screenshots.py --screenshots compare    # fail where a page looks different
"""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, expect

from llmos.client import Client
from support.chromium import Visit
from support.doc_pages import DOCS
from support.hosted_apps import write_echo
from support.real_server import KEY, Running, ask

pytestmark = [pytest.mark.browser, pytest.mark.process]

FOLDER = DOCS / "images" / "console"
MAX_BYTES = 100_000
MAX_DIFFERENCE = 0.05
"""The share of the pixels that may differ: times, rates and ids do."""

PAGES = {
    "start": "/",
    "chat": "/chat",
    "models": "/models",
    "model": "/models/smollm2@1",
    "fit": "/models/smollm2@1/fit?context=4096&streams=8",
    "deployments": "/deployments",
    "route": "/deployments/routes/chat",
    "rollout": "/deployments/rollouts/1",
    "answers": "/answers",
    "eval": "/evals",
    "release": "/releases/echo?version=echo@2",
    "usage": "/usage?by=day",
}


@pytest.fixture(scope="module")
def shown(
    server: Running, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The server with something to see on each page."""
    if request.config.getoption("screenshots") is None:
        pytest.skip("Screenshots are taken on purpose: --screenshots take, or compare.")
    labels = {"description": "The default model: small, and fast on two cores.", "tags": {"team": "search"}}
    ask(server, "PATCH", "/llmos/v1/models/smollm2@1/labels", labels | {"remove_tags": ["note"]})
    ask(server, "PUT", "/llmos/v1/deployments/smollm2@1", {"min_replicas": 1, "max_replicas": 2})
    ask(server, "PUT", "/llmos/v1/providers/mirror", {"kind": "openai", "base_url": f"{server.url}/v1", "key": KEY})
    ask(server, "PUT", "/llmos/v1/routes/chat", {"target": "remote:mirror/smollm2", "fallbacks": ["smollm2"]})
    for question in ("Say hello.", "Name three colors.", "What is a llama?"):
        messages = [{"role": "user", "content": question}]
        ask(server, "POST", "/v1/chat/completions", {"model": "chat", "messages": messages, "max_tokens": 24})
    ask(server, "POST", "/llmos/v1/rollouts", {"version": "smollm2@1", "route": "chat", "steps": [5, 25, 100]})
    with Client(server.url, api_key=KEY) as client:
        _keep_eval(client)
        folder = tmp_path_factory.mktemp("echo")
        for version in ("v1", "v2"):
            client.apps.create(write_echo(folder, version))
        client.apps.release("echo", 1)
    yield server
    ask(server, "POST", "/llmos/v1/apps/echo/stop")
    ask(server, "DELETE", "/llmos/v1/routes/chat")
    ask(server, "DELETE", "/llmos/v1/providers/mirror")
    ask(server, "DELETE", "/llmos/v1/deployments/smollm2@1")


def _keep_eval(client: Client) -> None:
    """Run a suite of which the small model passes a part."""
    capitals = {
        "France": "Paris",
        "Spain": "Madrid",
        "Italy": "Rome",
        "Japan": "Tokyo",
        "Peru": "Lima",
        "Chad": "Ndjamena",
    }
    cases = [
        {"id": country, "input": f"What is the capital of {country}?", "expect": {"contains": city}}
        for country, city in capitals.items()
    ]
    client.evals.run({"name": "capitals", "gates": {"pass_rate": 0.5}, "cases": cases}, models=["smollm2"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_the_screenshot_of_a_page(
    browser: Browser, shown: Running, request: pytest.FixtureRequest, name: str, scheme: str
) -> None:
    path = FOLDER / f"{name}-{scheme}.webp"
    with Visit.begin(browser, shown, "ann", color_scheme=scheme, viewport={"width": 1200, "height": 750}) as visit:
        page = visit.open(PAGES[name])
        _prepare(page, name)
        image = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    if request.config.getoption("screenshots") == "take":
        _save(image, path)
    assert _difference(image, path) <= MAX_DIFFERENCE


def _prepare(page: Page, name: str) -> None:
    """Wait until the page shows what it is for."""
    if name == "chat":
        page.get_by_label("Most tokens").evaluate("field => { field.value = 40 }")
        page.get_by_label("Message").fill("Name three colors.")
        page.keyboard.press("Enter")
        expect(page.locator(".message.assistant .facts-line")).to_contain_text("tokens")
    elif name == "eval":
        page.get_by_role("table").get_by_role("link", name="eval-").first.click()
        expect(page.locator("#eval .interval")).to_be_visible()
    elif name == "release":
        expect(page.locator(".diff").first).to_be_visible()
    elif name == "rollout":
        expect(page.locator("[aria-current=step]")).to_be_visible()
    elif name == "usage":
        expect(page.locator(".chart canvas")).to_be_visible()


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "WEBP", quality=82, method=6)
    assert path.stat().st_size < MAX_BYTES, f"{path.name} has {path.stat().st_size:,} bytes"


def _difference(image: Image.Image, path: Path) -> float:
    """Return the share of the pixels that are visibly different from the ones in the file."""
    with Image.open(path) as kept:
        difference = ImageChops.difference(image, kept.convert("RGB")).convert("L")
    changed = sum(difference.point(lambda value: 255 if value > 48 else 0).histogram()[255:])
    return changed / (image.width * image.height)
