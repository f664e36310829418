"""Cards as table rows and as an HTML page."""

from html.parser import HTMLParser

import msgspec
import pytest

from llmos.models.cards.cards import Cards
from llmos.models.cards.limits import verdicts
from llmos.models.cards.page import page, siblings
from llmos.models.cards.rows import against_parent, differences, incomparable_reasons, side_by_side
from llmos.models.cards.texts import layers_text
from llmos.models.descriptions import describe_card
from llmos.models.transfer.transfers import Transfers
from support.made_cards import CARD, card

OTHER = card(
    version="tiny-q8_0@1",
    digest="sha256:" + "c" * 64,
    size_bytes=80_000_000,
    quality=msgspec.structs.replace(CARD.quality, perplexity=20.2),
    comparison=msgspec.structs.replace(CARD.comparison, greedy_agreement=0.99, kl_mean=0.001),
)


class Page(HTMLParser):
    """The tags and the text of a page. Fails if a tag isn't closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta",):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def cells(rows):
    return {row.label: (row.value, row.other, row.change) for row in rows}


def test_a_card_is_shown_beside_its_parent():
    rows = cells(against_parent(CARD))
    assert rows["size on disk"] == ("40.0 MB", "80.0 MB", "-50.0 %")
    assert rows["perplexity"] == ("21.500 ± 0.600", "20.000", "+7.50 % ± 0.40")
    assert rows["greedy agreement"] == ("91.00 %", "", "")
    assert rows["decode"] == ("150 tokens/s", "120 tokens/s", "1.25 times")


def test_an_unmeasured_metric_is_shown_as_missing():
    bare = card(decode=None, not_measured={"decode": "It took too much memory."})
    assert cells(against_parent(bare))["decode"] == ("not measured", "", "")
    shown = Page(page([bare], [[]]))
    assert "decode was not measured. It took too much memory." in shown.text


def test_two_cards_are_shown_side_by_side_with_differences():
    rows = cells(side_by_side(CARD, OTHER))
    assert rows["size on disk"] == ("40.0 MB", "80.0 MB", "+100.0 %")
    assert rows["greedy agreement"] == ("91.00 %", "99.00 %", "+8.00 points")
    assert differences(CARD, OTHER)["perplexity"] == pytest.approx(20.2 / 21.5 - 1)
    assert incomparable_reasons(CARD, OTHER) == []


def test_metrics_of_different_machines_or_texts_are_not_compared():
    elsewhere = msgspec.structs.replace(
        OTHER,
        machine=msgspec.structs.replace(CARD.machine, cpu="another"),
        text=msgspec.structs.replace(CARD.text, name="the help of Python 3.13"),
    )
    found = differences(CARD, elsewhere)
    assert set(found) == {"size_bytes", "parameters"}
    assert len(incomparable_reasons(CARD, elsewhere)) == 2


def test_removed_layers_are_named():
    assert layers_text(CARD).startswith(
        "1 of 3 layers are removed: 1. The weights' error is largest in layer 0: 5.00 %."
    )
    assert layers_text(card(layers=None)) == ""


def test_json_has_the_card_and_the_verdicts():
    plain = msgspec.to_builtins(describe_card(CARD, verdicts(CARD, {"max_perplexity_increase": 0.05})))
    assert plain["comparison"]["perplexity_increase"] == 0.075
    (verdict,) = plain["limits"]
    assert (verdict["name"], verdict["passes"], verdict["value"]) == ("max_perplexity_increase", False, 0.075)
    assert msgspec.json.encode(plain)


def test_the_page_loads_nothing_and_has_no_script():
    judged = verdicts(CARD, {"max_perplexity_increase": 0.05, "min_decode_ratio": 1})
    shown = Page(page([CARD], [judged], [CARD, OTHER]))
    tags = [tag for tag, _ in shown.tags]
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert not [attributes for _, attributes in shown.tags if {"src", "href", "onload", "style"} & set(attributes)]
    assert "7.50 % more perplexity than tiny@1" in shown.text
    assert tags.count("figure") == 4
    assert all(attributes["aria-label"] for tag, attributes in shown.tags if attributes.get("role") == "img")
    assert "tiny-q8_0@1" in shown.text


def test_text_from_a_model_is_escaped():
    text = page([card(version="<script>alert(1)</script>@1")], [[]])
    assert "<script>" not in text
    assert "Tiny &lt;CPU&gt; &amp; Sons" in text


def test_every_plot_of_a_comparison_has_both_cards():
    shown = Page(page([CARD, OTHER], [[], []], [CARD, OTHER]))
    assert "tiny-gptq4@1 and tiny-q8_0@1" in shown.text
    assert "tiny-q8_0@1 hidden state" in shown.text


def test_a_card_without_measurements_gives_a_page():
    bare = card(
        parent=None, parent_digest=None, parent_size_bytes=None, recipe=None, text=None, quality=None, comparison=None,
        memory=None, prefill=None, decode=None, layers=None,
        not_measured={"quality": "It turns texts into vectors and writes none."},
    )  # fmt: skip
    assert "texts into vectors" in Page(page([bare], [[]])).text


@pytest.mark.process
def test_the_siblings_are_all_versions_derived_from_the_same_one(registry, gguf_path, make_folder, tmp_path):
    def made(name, parent):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(gguf_path.read_bytes())
        return registry.derived.add(name, {"model.gguf": path}, parent=parent, recipe={"name": name})

    root, stranger = (
        Transfers(registry).import_path(gguf_path, "tiny"),
        Transfers(registry).import_path(make_folder(), "stranger"),
    )
    child = made("child", root)
    versions = [child, made("grandchild", child), made("sibling", root), stranger]
    cards = Cards(registry.database)
    for version in versions:
        cards.put(version, card(version=version.ref, digest=version.digest, parent_digest=version.parent))
    mine = cards.get(child)
    assert [each.version for each in siblings(registry, [mine])] == ["grandchild@1", "sibling@1"]
