"""Parts of a report beyond scans: proofs, benchmarks, the corpus, and a kernel that runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from bench.cost.cost import Cost
from bench.cost.table import as_json
from bench.kept import Measurement, write
from corpus.judge import Verdict

import oddtoc as package
from browser import CONTRAST

CMDLINE = Path(package.__file__).parent / "samples/cmdline.c"
PEER = [Cost("peer", "upstream livepatch", "global", n, 252 + 64 * (n - 1), 13) for n in (1, 2, 5)]
OURS = [Cost("6.1", "guarded/slot", "global", n, 6, 0) for n in (1, 2, 5)]
REFUSED = [Cost("6.1", "odd-toc/slot", "local", 1, refused="nothing to mark")]
VERDICTS = [
    Verdict("fs/a.c", "applied", "", ("fs/a.c",), 2, 10, 10, (1.5, 4.0)),
    Verdict("fs/b.c", "refused", "layout, section", seconds=(1.0, 1.0)),
    Verdict("fs/c.c", "refused", "header: 'struct a' has no member", seconds=(1.0, 1.0)),
    Verdict("fs/d.c", "refused", "layout", seconds=(1.0, 1.0)),
    Verdict("fs/<e>.c", "failed", "the guest complains", ("fs/<e>.c",), 1, 5, 5, (1.0, 3.0)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def proofs(oddtoc):
    """A mechanism that is right, and the RFC's with its conditions."""
    return [
        proof
        for name in ("shared-toc", "odd-toc/cr4")
        for proof in json.loads(oddtoc("prove", name, "--format", "json").stdout)
    ]


@pytest.fixture(scope="module")
def file(oddtoc, folder, proofs):
    (folder / "proofs.json").write_text(json.dumps(proofs))
    (folder / "log.jsonl").write_text("".join(json.dumps(verdict.plain()) + "\n" for verdict in VERDICTS))
    (folder / "cost.json").write_text(json.dumps(as_json([*OURS, *REFUSED], PEER, {"6.1": "Debian's"})))
    measured = [Measurement("6.1", "apply, commit", 0.0052, 0.09, "shared-toc", 2.6)]
    write(folder / "pause.json", "how long a guest stands still", "medians", measured)
    names = [folder / name for name in ("proofs.json", "log.jsonl", "cost.json", "pause.json")]
    result = oddtoc("report", *names, "-o", folder / "page.html")
    assert result.exit_code == 0, result
    return folder / "page.html"


def rows(page, title, search=""):
    card = page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))
    card.locator("input").fill(search)
    heads = [text.strip() for text in card.locator("thead th").all_inner_texts()]
    lines = card.locator("tbody tr:not(.space)").all()
    return [dict(zip(heads, line.locator("td").all_inner_texts(), strict=True)) for line in lines]


def told(page, title):
    """What a plot says to those who do not see it."""
    return page.locator(".card", has=page.get_by_role("heading", name=title)).locator("svg").get_attribute("aria-label")


def test_proofs_as_a_matrix_and_a_table(show, file, proofs):
    page = show(file)
    cells = page.locator("#part0 .matrix tbody td").all_inner_texts()
    worst = {}
    for proof in proofs:
        worst.setdefault((proof["mechanism"], proof["call"]), set()).add(proof["verdict"])
    assert Counter(cells)["conditional"] == sum("conditional" in verdicts for verdicts in worst.values())
    assert len(cells) >= len(worst)
    shown = rows(page, "proofs", "odd-toc/cr4")
    sibling = next(row for row in shown if row["call"] == "sibling")
    assert sibling["conditions"] == "same-toc" and "=>" not in sibling["goes wrong"]


def test_the_corpus_and_its_reasons(show, file):
    page = show(file)
    assert told(page, "what came of the files") == "what came of the files: refused: 3; applied: 1; failed: 1"
    assert told(page, "refused for") == "refused for: layout: 2; header: 1"
    assert [row["file"] for row in rows(page, "files")] == [verdict.file for verdict in VERDICTS]
    assert "15" in page.locator("#part1 .figures").inner_text()


def test_costs_beside_upstream(show, file):
    page = show(file)
    growth = told(page, "the cost of one call, with more functions patched")
    assert "upstream livepatch (peer): 1: 265, 2: 329, 5: 521" in growth
    assert "guarded/slot (6.1): 1: 6, 2: 6, 5: 6" in growth
    lines = page.locator("#part2 polyline").evaluate_all("all => all.map(one => one.getBBox().height)")
    assert sorted(lines)[0] < 1 and sorted(lines)[-1] > 80, "ours is flat, upstream's grows"
    table = rows(page, "costs")
    assert table[0]["upstream/oddtoc"] == "\u2013" and table[3]["upstream/oddtoc"] == "44.2"
    assert table[-1]["refused"] == "nothing to mark"
    assert told(page, "how long a guest stands still: 6.1").endswith("shared-toc apply, commit: 5.2 ms")
    assert rows(page, "times")[0] == {
        "kernel": "6.1", "mechanism": "shared-toc", "what": "apply, commit", "microseconds": "5,200",
        "worst": "90,000", "ratio": "2.60",
    }  # fmt: skip


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 380)])
def test_words_can_be_read_and_nothing_sticks_out(show, file, scheme, width):
    page = show(file, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.add_script_tag(content=CONTRAST)
    assert page.evaluate("poor()") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_running_kernel_with_what_is_applied(show, oddtoc, guest, folder):
    target = ["--target", f"guest:{guest('6.1').name}"]
    assert oddtoc("build", CMDLINE, "-o", folder / "cmdline.o").exit_code == 0
    assert oddtoc("apply", folder / "cmdline.o", *target).exit_code == 0
    try:
        result = oddtoc("report", *target, "-o", folder / "target.html")
        assert result.exit_code == 0, result
        status = json.loads(oddtoc("status", *target, "--format", "json").stdout)
    finally:
        oddtoc("revert", "cmdline", *target)
    page = show(folder / "target.html")
    (row,) = rows(page, "applied")
    assert (row["name"], row["branch_at"]) == ("cmdline_proc_show", status[0]["functions"][0]["branch_at"])
    assert page.locator(".map .payload").count() == 1
    assert page.locator(".map .leads title").text_content() == "cmdline_proc_show, by cmdline"
    # the arc ends where the payload is drawn
    box = "one => [one.getBBox().x, one.getBBox().width]"
    arc, bar = (page.locator(f".map svg .{name}").evaluate(box) for name in ("leads", "payload"))
    assert abs(sum(arc) - bar[0] - bar[1] / 2) < 1


def test_nothing_to_report(oddtoc, folder):
    result = oddtoc("report", "-o", folder / "empty.html")
    assert "nothing to report" in str(result.exception)
    (folder / "half.jsonl").write_text('{"file": "a", "outcome": "applied", "reason": ""}\n')
    assert "is not whole" in str(oddtoc("report", folder / "half.jsonl", "-o", folder / "empty.html").exception)
