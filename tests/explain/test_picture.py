"""The picture of a call, against the call itself."""

import json
from xml.etree import ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn(oddtoc, patch, tmp_path):
    """The picture, read, and the same call as JSON."""

    def draw(*words):
        command = ["explain", patch, "seq_putc", *words, "--svg", tmp_path / "call.svg"]
        assert oddtoc(*command).stdout.startswith(f"{tmp_path / 'call.svg'}: ")
        answer = json.loads(oddtoc("explain", patch, "seq_putc", *words, "--format", "json").stdout)
        return ElementTree.parse(tmp_path / "call.svg").getroot(), answer

    return draw


def texts(picture, name):
    return [one.text for one in picture.iter(f"{SVG}text") if one.get("class") == name]


def bars(picture, name):
    """Top and bottom of each bar of a colour; the small ones are the legend."""
    found = [one for one in picture.iter(f"{SVG}rect") if one.get("class") == name and one.get("height") != "12"]
    return [(int(one.get("y")), int(one.get("y")) + int(one.get("height"))) for one in found]


def line(picture, number):
    """Where the row of an instruction is, from 0."""
    return [int(one.get("y")) for one in picture.iter(f"{SVG}text") if one.get("class") == "code"][number] - 14


@pytest.mark.parametrize("words", [(), ("--call", "global"), ("-m", "odd-toc/cr4"), ("-m", "shared-toc")])
def test_every_instruction_stands_there_in_order(drawn, words):
    picture, answer = drawn(*words)
    assert texts(picture, "code") == [step["assembly"] for step in answer["steps"]]
    places = [step["place"] for step in answer["steps"]]
    visits = [place for number, place in enumerate(places) if number == 0 or place != places[number - 1]]
    assert texts(picture, "place") == [answer["headings"][place] for place in visits]
    assert texts(picture, "right") == [f"right: {answer['verdict']}"]
    assert answer["verdict"] in picture.get("aria-label")


def test_a_call_that_goes_wrong_says_so(drawn):
    picture, answer = drawn("--call", "sibling", "-m", "odd-toc/cr4")
    assert texts(picture, "wrong") == [f"WRONG: {answer['verdict']}"] and texts(picture, "right") == []


def test_bars_are_as_long_as_what_they_show(drawn):
    picture, answer = drawn("--call", "global")
    odd = [number for number, step in enumerate(answer["steps"]) if step["odd"]]
    ((top, bottom),) = bars(picture, "odd")
    assert (top, bottom) == (line(picture, odd[0]), line(picture, odd[-1] + 1))
    picture, answer = drawn("-m", "odd-toc/cr4")
    for offset, (top, bottom) in zip((12, 24), bars(picture, "borrowed"), strict=True):
        held = [number for number, step in enumerate(answer["steps"]) if offset in step["borrowed"]]
        assert (top, bottom) == (line(picture, held[0]), line(picture, held[-1] + 1))
