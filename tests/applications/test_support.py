"""The support application: languages, quotes, orders, abstaining, a person; with a script, and once with the models."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmos.applications import templates
from llmos.applications.support import LanguageKnowledge, Orders, language_of
from llmos.apps import App, Knowledge
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit
from llmos.core.yaml_text import read_yaml
from llmos.hosting.folder import AppFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    templates.make_app("support", tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def app(folder: Path) -> App:
    return AppFolder.open(folder).load()


def hit(document: str, quote: str, **metadata: Any) -> SearchHit:
    citation = Citation(document=document, quote=quote, end=len(quote))
    return SearchHit(text=quote, metadata=metadata, citation=citation)


def found(*hits: SearchHit, answerable: bool | None = True) -> SearchDescription:
    return SearchDescription(hits=[*hits], answerable=answerable)


EN, ZH = hit("en/repairs.md", "A repair takes five working days."), hit("zh/repairs.md", "维修需要五个工作日。")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How long does a repair take?", "en"), ("维修需要多长时间？", "zh"),
        ("我的 iPhone 15 Pro 怎么退货？", "zh"),
        ("修理にはどのくらいかかりますか？", "ja"), ("수리는 얼마나 걸려요?", "ko"),
        ("Wie lange dauert eine Reparatur?", "de"),
        ("Wo ist meine Bestellung, und was kann ich tun?", "de"), ("Où est ma commande et comment la rendre ?", "fr"),
        ("¿Dónde está mi pedido y cuándo llega?", "es"), ("Сколько стоит ремонт?", "ru"), ("AB123456", "en"),
        ("", "en"), ("The Chinese word 退货 means return in English, doesn't it?", "en"),
    ],
)  # fmt: skip
def test_the_script_and_short_words_tell_languages_apart(text: str, language: str) -> None:
    assert language_of(text) == language


def test_the_answer_is_in_the_language_of_the_question(app: App) -> None:
    with Script().plays(app, found(EN, ZH)):
        assert app.run("How long does a repair take?").text == "A repair takes five working days."
        chinese = app.run("维修需要多长时间？")
    assert (chinese.text, chinese.citations[0].document) == ("维修需要五个工作日。", "zh/repairs.md")


@pytest.mark.anyio
async def test_passages_of_another_language_are_taken_where_there_are_none() -> None:
    source = LanguageKnowledge(Knowledge("faq", top_k=1), ("de", "en"))
    german = hit("reparatur.md", "Fünf Tage.", language="de")
    assert (await source.search(MemoryServer(found=found(EN, german)), "Wie ist das mit der Reparatur?")).hits == [
        german
    ]
    assert (await source.search(MemoryServer(found=found(EN, ZH)), "Wie ist das mit der Reparatur?")).hits == [EN]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_languages_are_the_folders_of_the_documents(folder: Path) -> None:
    assert LanguageKnowledge.from_folder(folder).languages == ("en", "zh")
    manifest = folder / "app.yaml"
    manifest.write_text("name: shop\n")
    with pytest.raises(BadRequest, match="has no `knowledge`"):
        LanguageKnowledge.from_folder(folder)


def test_an_order_is_looked_up_and_cancelled_when_a_person_confirms(app: App, folder: Path) -> None:
    nothing = found(answerable=False)
    script = Script(Call("order_status", order_id="AB123456"), "It is on its way.",
                    Call("cancel_order", order_id="AB123457"), "It is cancelled.")  # fmt: skip
    server = MemoryServer(script, nothing)
    with app.replaced(server):
        run = app.run("Where is AB123456?", session="u42")
        assert "Parcel Post" in next(step.result["content"] for step in run.steps if step.kind == "tool")
        waiting = app.run("Cancel AB123457, please.", session="u42")
        assert (waiting.state, waiting.waits_with["tool"]) == ("waiting", "cancel_order")
        assert json.loads((folder / "data" / "orders.json").read_text())["AB123457"]["state"] == "packed"
        assert app.resume(waiting.id, True).text == "It is cancelled."
    assert json.loads((folder / "data" / "orders.json").read_text())["AB123457"]["state"] == "cancelled"


def test_what_neither_documents_nor_tools_answer_goes_to_a_person(app: App) -> None:
    server = MemoryServer(Script("I think you do."), found(EN, answerable=False))
    with app.replaced(server):
        run = app.run("Do you sell gift cards?")
    (made,) = server.handoffs.made.values()
    assert (run.abstained, run.handoff, made.question) == (True, made.id, "Do you sell gift cards?")
    assert "colleague" in run.text
    assert "同事" in run.text


def test_orders_say_what_is_wrong_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    orders = Orders(path)
    with pytest.raises(BadRequest, match="can't be read"):
        orders.status("AB123456")
    path.write_text("[]")
    with pytest.raises(BadRequest, match="must be an object"):
        orders.status("AB123456")
    path.write_text('{"AB1": 3, "AB2": {"state": "delivered"}, "AB3": {"state": "packed"}}')
    for unknown in ("AB1", "AB9"):
        with pytest.raises(NotFound):
            orders.status(unknown)
    with pytest.raises(Conflict, match="can be returned"):
        orders.cancel("AB2")
    assert orders.cancel("AB3") == orders.cancel("AB3") == "The order AB3 is cancelled."
    assert orders.status("AB3") == "The order AB3 is cancelled."


def test_the_evals_ask_for_what_the_documents_say(folder: Path) -> None:
    for case in read_yaml((folder / "evals" / "cases.yaml").read_text(encoding="utf-8"), "cases.yaml")["cases"]:
        document = case["expect"].get("cites")
        if document is not None:
            assert case["expect"]["contains"] in (folder / "data" / "faq" / document).read_text(encoding="utf-8")
    questions = [json.loads(line) for line in (folder / "data" / "questions.jsonl").read_text().splitlines()]
    answered = [each["expected"]["document"] for each in questions if each["expected"]]
    assert min(len(answered), len(questions) - len(answered)) >= 20, "an evaluation needs 20 of each"
    assert all((folder / "data" / "faq" / each).exists() for each in answered)
