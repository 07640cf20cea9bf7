"""Whether a piece of HTML is prose and nothing else: what a lesson's Markdown gives, no script, no form.

The rule: a recording may come from anywhere, so its prose is looked at before a page shows it; what is
not on the list is refused, not mended.
"""

from html.parser import HTMLParser
from urllib.parse import urlsplit

_BLOCKS = ("p", "pre", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr")
_TABLES = ("table", "thead", "tbody", "tr", "th", "td")
TAGS = frozenset({*_BLOCKS, *_TABLES, "em", "strong", "s", "code", "a", "br"})
ATTRIBUTES = frozenset({"href", "title", "class", "start", "style"})
_SCHEMES = frozenset({"", "http", "https", "mailto"})


def why_not_prose(html: str) -> str:
    """What in `html` is not prose, in a few words; "" if nothing is."""
    found = _Looker()
    found.feed(html)
    found.close()
    return found.why


class _Looker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.why = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.why = self.why or f"<{tag}>"
        for name, value in attrs:
            if name not in ATTRIBUTES or not _is_harmless(name, value or ""):
                self.why = self.why or f"{name}= in <{tag}>"

    def handle_decl(self, decl: str) -> None:
        self.why = self.why or f"<!{decl[:20]}>"

    def unknown_decl(self, data: str) -> None:
        self.why = self.why or f"<![{data[:20]}]>"

    def handle_comment(self, data: str) -> None:
        self.why = self.why or f"<!--{data[:20]}-->"

    def handle_pi(self, data: str) -> None:
        self.why = self.why or f"<?{data[:20]}>"


def _is_harmless(name: str, value: str) -> bool:
    if name == "href":
        # Browsers drop white space and control characters inside of a scheme.
        try:
            return urlsplit("".join(one for one in value if one > " ")).scheme.lower() in _SCHEMES
        except ValueError:
            return False
    if name == "style":
        return value in {"text-align:left", "text-align:center", "text-align:right"}
    return True
