"""The picture of the table."""

import xml.etree.ElementTree as ET

from plot import draw
from rates import Rates
from results import Rate

SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> ET.Element:
    rates = [Rate("LLMOS <4>", "a", 0, 200), Rate("vLLM", "a", 0, 50), Rate("LLMOS <4>", "b", 0, 8000)]
    return ET.fromstring(draw(Rates(rates), ["a", "b", "never run"], "Tokens & seconds"))


def test_each_workload_has_a_scale_of_its_own() -> None:
    widths = [float(each.attrib["width"]) for each in drawn().iter(f"{SVG}rect")]
    assert widths[1] == widths[0] / 4
    assert widths[2] == widths[0]


def test_it_can_be_read_without_seeing_it() -> None:
    svg = drawn()
    assert svg.attrib["role"] == "img"
    labels = {each.attrib["id"]: each.text for each in svg if "id" in each.attrib}
    assert set(svg.attrib["aria-labelledby"].split()) == set(labels)
    assert labels["title"] == "Tokens & seconds"


def test_every_bar_says_whose_it_is_and_how_long() -> None:
    texts = [each.text for each in drawn().iter(f"{SVG}text")]
    assert texts == ["a, tokens/s", "LLMOS <4>", "200", "vLLM", "50", "b, tokens/s", "LLMOS <4>", "8,000"]


def test_it_has_colors_for_light_and_dark_pages() -> None:
    style = drawn().find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme:dark" in (style.text or "")


def test_nothing_is_drawn_outside_of_it() -> None:
    svg = drawn()
    height = float(svg.attrib["height"])
    assert all(float(each.attrib["y"]) + float(each.attrib["height"]) <= height for each in svg.iter(f"{SVG}rect"))
