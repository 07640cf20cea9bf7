"""What a page may show of a recording that may come from anywhere: prose, and nothing else."""

import pytest

from pylitefs.lecture.language.lesson import render
from pylitefs.lecture.language.safe_html import TAGS, why_not_prose


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
