"""The comparison as one page, made from the JSON report alone."""

import json
import re
from typing import Any

import pytest

from pylitefs.compare import report
from pylitefs.compare.html import page
from tests.compare.reported import KNOWN, UNMET, comparison


@pytest.fixture
def written() -> dict[str, Any]:
    """A report as it is read from its file."""
    read: dict[str, Any] = json.loads(json.dumps(report.as_json(comparison(), [KNOWN, UNMET])))
    return read


def test_the_page_needs_nothing_beside_it(written: dict[str, Any]) -> None:
    """No script, no file, nothing from the net."""
    text = page(written)
    assert "<script" not in text and "http" not in text and "src=" not in text
    assert not re.findall(r"href='(?!#)", text)


def test_what_was_seen_is_text_and_no_markup(written: dict[str, Any]) -> None:
    text = page(written)
    for shown in ("<x>", "<here>", "<title>.", "Because <b>"):
        assert shown not in text
    assert "t 1: pylitefs x &#x27;&lt;b&gt;&#x27;; LiteFS x" in text, "the rows that differ"
    assert "SELECT &#x27;&lt;x&gt;&#x27;" in text and "&lt;here&gt;" in text


def test_unknown_differences_come_first_and_known_ones_with_their_reason(written: dict[str, Any]) -> None:
    text = page(written)
    assert "pylitefs 1 beside LiteFS 0.5.14: 1 unknown differences" in text
    unknown, known = text.index("<h2>Differs: w"), text.index("<h2>Known differences")
    assert unknown < text.index("page bytes") < known < text.index("Right is <b>pylitefs</b>. Because")
    assert "unmet" not in text
    assert "LiteFS: [[2]]" in text and "LiteFS: a.db-pos 1/b" in text, "what was typed, where they differ"
    assert "panic: it broke" in text


def test_the_table_counts_each_workload_s_transactions_and_differences(written: dict[str, Any]) -> None:
    row = next(line for line in page(written).splitlines() if "<a href='#w'>" in line)
    assert re.findall(r"<td class='n'>([^<]*)</td>", row) == ["2", "1", "1", "1"]


def test_each_workload_has_its_plots(written: dict[str, Any]) -> None:
    text = page(written)
    captions = re.findall(r"<figcaption>([^<]+)<", text)
    assert [caption.partition(",")[0] for caption in captions] == [
        "Timeline: statements",
        "Commit",
        "Lag of the replica",
        "LTX file",
    ]
    assert text.count('<circle class="ours"') == text.count('<circle class="theirs"') == 6


def test_an_arrival_that_is_a_later_snapshot_is_none(written: dict[str, Any]) -> None:
    """A replica that got a transaction ten seconds later got it in a snapshot for another client."""
    ticks = page(written).count('class="tick"')
    assert ticks == 4
    written["workloads"][0]["transactions"][0]["on_replica"] += 100
    assert page(written).count('class="tick"') == 3


def test_a_report_without_differences_says_so(written: dict[str, Any]) -> None:
    written["unknown"] = 0
    written["workloads"][0]["differences"] = []
    text = page(written)
    assert "no unknown difference" in text and "Differs:" not in text
