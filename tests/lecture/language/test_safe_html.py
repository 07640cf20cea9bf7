"""What a page may show of a recording that may come from anywhere: prose, and nothing else."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.language.lesson import render
from pylitefs.lecture.language.safe_html import ATTRIBUTES, TAGS, why_not_prose
from tests.lecture.hostile_html import FRAGMENTS, KNOWN, generated


def test_what_a_lesson_s_markdown_gives_is_prose() -> None:
    source = """
# Title
Some *prose*, `code` and a [link](https://www.sqlite.org "there"), <mail@example.org>.

1. one
3. three

> said

| a | b |
|:--|--:|
| 1 | ~~2~~ |

```sql
SELECT 1
```
---
"""
    html = render(source)
    assert "<table>" in html and "<a href" in html and "<pre>" in html
    assert why_not_prose(html) == ""


@pytest.mark.parametrize("tag", ["script", "iframe", "form", "img", "svg", "style", "base", "meta", "object"])
def test_a_tag_that_is_not_on_the_list_is_refused_and_named(tag: str) -> None:
    assert tag not in TAGS
    assert why_not_prose(f"<p>a</p><{tag}>") == f"<{tag}>" == why_not_prose(f"<{tag.upper()}/>")


@pytest.mark.parametrize(
    "attribute",
    [
        "onclick='x()'",
        "href='javascript:x()'",
        "href=' JaVaScRiPt:x()'",
        "href='java\nscript:x()'",
        "href='java&#9;script:x()'",
        "href='data:text/html,x'",
        "href='http://[x'",
        "style='background:url(x)'",
        "srcdoc='x'",
        "id='x'",
    ],
)
def test_an_attribute_that_could_do_something_is_refused_and_named(attribute: str) -> None:
    name = attribute.partition("=")[0]
    assert why_not_prose(f"<p><a {attribute}>x</a></p>") == f"{name}= in <a>"


@pytest.mark.parametrize("href", ["/x", "#x", "https://a/b", "HTTP://a", "mailto:a@b", ""])
def test_a_link_may_lead_to_a_page(href: str) -> None:
    assert why_not_prose(f"<a href='{href}' title='x' class='y'>x</a>") == ""


@pytest.mark.parametrize(
    ("html", "said"),
    [("<!DOCTYPE html>", "<!DOCTYPE html>"), ("<!-- x -->", "<!-- x -->"), ("<?php x?>", "<?php x?>")],
)
def test_declarations_and_comments_are_no_prose(html: str, said: str) -> None:
    assert why_not_prose(f"<p>a</p>{html}") == said
    assert why_not_prose("<![CDATA[x]]>")


def test_the_first_that_is_wrong_is_named() -> None:
    assert why_not_prose("<p onclick=''><script>") == "onclick= in <p>"


@pytest.mark.parametrize("html", KNOWN, ids=lambda html: html[:40])
def test_what_browsers_read_in_another_way_is_refused(html: str) -> None:
    """A comment that ends early, a name that ends late: no reader has to guess, for it is not let through."""
    assert why_not_prose(html)
    assert why_not_prose(f"<p>before</p>\n{html}\n<p>after</p>")


class _Parsed(HTMLParser):
    """Another reader of HTML, and what it finds besides prose."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.bad.append(tag)
        self.bad += [name for name, value in attrs if name not in ATTRIBUTES or "script:" in (value or "")]

    def handle_data(self, data: str) -> None:
        if "<" in data:
            self.bad.append(data)

    def handle_decl(self, decl: str) -> None:
        self.bad.append(decl)

    def handle_comment(self, data: str) -> None:
        self.bad.append(data)

    unknown_decl = handle_pi = handle_comment


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=8).map("".join))
def test_python_s_parser_finds_only_prose_in_what_is_let_through(html: str) -> None:
    """Whatever the text: what is prose here has no tag, attribute, comment or script there."""
    if not why_not_prose(html):
        # A `<` in data is an entity that was resolved; it cannot be one of the text's own.
        assert _Parsed(html.replace("&lt;", "")).bad == []


@given(st.text(max_size=200))
def test_what_markdown_makes_of_any_text_is_prose(source: str) -> None:
    """Nobody's lesson is turned away."""
    assert why_not_prose(render(source)) == ""


def test_some_of_the_hostile_texts_are_let_through_and_most_are_not() -> None:
    """So the comparison with other parsers has something to compare."""
    let = sum(not why_not_prose(html) for html in generated(4000))
    assert 200 < let < 2000


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<!--",
        "<a ",
        "<a x=",
        "<p/",
        "<a href='",
        "<!",
        "<?",
        "</",
        "</p",
        "&",
        "<p title=''",
        "<p ",
        "'",
    ],
)
def test_a_long_text_is_judged_in_time_that_grows_with_its_length(unit: str) -> None:
    """256 kB of what never ends took minutes; now milliseconds, so a slow machine does it in 5 s."""
    began = time.process_time()
    for html in (
        unit * (262_144 // len(unit)),
        "<p>" + unit * (262_144 // len(unit)),
        f"<p title='{unit * 60_000}",
    ):
        why_not_prose(html)
    assert time.process_time() - began < 5
