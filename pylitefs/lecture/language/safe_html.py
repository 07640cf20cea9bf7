"""Whether a piece of HTML is prose and nothing else: what a lesson's Markdown gives, no script, no form.

The rule: a recording may come from anywhere, so its prose is looked at before a page shows it; what is
not on the list is refused, not mended. No HTML is parsed here, for browsers differ in what they make of
broken HTML. What is let through is only what the renderer of lessons writes: text without a loose `<` or `&`,
and whole tags whose attributes are quoted. That reads the same everywhere. Each character is looked at once.
"""

import re
from html import unescape
from urllib.parse import urlsplit

_BLOCKS = ("p", "pre", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr")
_TABLES = ("table", "thead", "tbody", "tr", "th", "td")
TAGS = frozenset({*_BLOCKS, *_TABLES, "em", "strong", "s", "code", "a", "br"})
ATTRIBUTES = frozenset({"href", "title", "class", "start", "style"})
_SCHEMES = frozenset({"", "http", "https", "mailto", "look"})

_TEXT = re.compile(r"(?:[^<>&\0]|&(?:amp|lt|gt|quot);)*+")
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*+)")
_ATTRIBUTE = re.compile(r"[ \t\r\n\f]++([A-Za-z][A-Za-z-]*+)=(?:\"([^<>\0\"]*+)\"|'([^<>\0']*+)')")
_END = re.compile(r"[ \t\r\n\f]*+/?>")
_SHOWN = 20


def why_not_prose(html: str) -> str:
    """What in `html` is not prose, in a few words; "" if nothing is."""
    at = _after(_TEXT, html, 0)
    while at < len(html):
        why, at = _look_at_tag(html, at)
        if why:
            return why
        at = _after(_TEXT, html, at)
    return ""


def _look_at_tag(html: str, start: int) -> tuple[str, int]:
    """What is wrong with the tag that begins here, and where the text after it does."""
    name = _NAME.match(html, start)
    if name is None:
        return html[start : start + _SHOWN], start
    tag, at = name[1].lower(), name.end()
    if tag not in TAGS:
        return f"<{tag}>", at
    while found := _ATTRIBUTE.match(html, at):
        attribute, value = found[1].lower(), found[2] if found[3] is None else found[3]
        is_end = html[start + 1] == "/"
        if is_end or attribute not in ATTRIBUTES or not _is_harmless(attribute, value):
            return f"{attribute}= in <{tag}>", at
        at = found.end()
    end = _END.match(html, at)
    return ("", end.end()) if end else (html[start : start + _SHOWN], at)


def _after(pattern: "re.Pattern[str]", html: str, at: int) -> int:
    found = pattern.match(html, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _is_harmless(name: str, written: str) -> bool:
    if _TEXT.fullmatch(written) is None:
        return False
    value = unescape(written)
    if name == "href":
        # Browsers drop white space and control characters inside of a scheme.
        try:
            return urlsplit("".join(one for one in value if one > " ")).scheme.lower() in _SCHEMES
        except ValueError:
            return False
    if name == "style":
        return value in {"text-align:left", "text-align:center", "text-align:right"}
    return True
