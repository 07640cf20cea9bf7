"""The page's files as one HTML text that needs nothing else: no server, no network, no second file.

The rule by which plain ES modules become one: from the entry on, each module stands after those that it
imports, without its `import` lines and the word `export`. That is right as long as every top-level name
is there once, imports are `import { a, b } from "./x.js";` at the start of a line, and nothing is
renamed, exported as default, or imported in a circle. Whatever breaks this is refused, never guessed at.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape

from pylitefs.errors import PylitefsError

ENTRY = "app.js"
_IMPORT = re.compile(r'^import\s+(?:\{([^{}]*)\}\s+from\s+)?"\./([^"/]+\.js)";[ \t]*\n', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+(?=(?:async\s+)?(?:function|const|let|class)\b)", re.MULTILINE)
_DECLARED = re.compile(
    r"^(export\s+)?(?:async\s+)?(?:function\s*\*?|const|let|var|class)\s+([\w$]+|[{\[])", re.MULTILINE
)
_LEFT = re.compile(r"^(?:import|export)\b[^\n]*|(?<![\w$.])import\(", re.MULTILINE)

_STYLE = re.compile(r'<link\b[^>]*\brel="stylesheet"[^>]*\bhref="(?:\./)?([^"]+)"[^>]*>')
_SCRIPT = re.compile(r'<script\b[^>]*\bsrc="(?:\./)?([^"]+)"[^>]*>\s*</script>')
_ICON = re.compile(r'(<link\b[^>]*\brel="icon"[^>]*\bhref=")(?:\./)?([^":]+)("[^>]*>)')
_DATA = re.compile(r'<script\b[^>]*\bid="recording"[^>]*>[^<]*</script>\s*')
_OUTSIDE = re.compile(r'\b(?:src|href)="(?!data:|#|https?:)([^"]*)"|url\((?!["\']?(?:data:|#))')
_HEAD = re.compile(r"<head\b[^>]*>")


class BundleError(PylitefsError):
    """The page's files cannot be made into one; a bug of the page, named with its file."""


def bundle(files: Mapping[str, bytes], data: str, title: str, after: str = "") -> str:
    """One HTML text of `files` (index.html, app.js, …) with `data` (base64) as its recording.

    `after` is what the page says of the next lesson, in JSON, if there is one.
    """
    html = files["index.html"].decode()
    script = modules(files)
    html = _STYLE.sub(lambda found: f"<style>\n{_styles(files, found[1])}</style>", html)
    html = _ICON.sub(lambda found: f"{found[1]}{_icon(files, found[2])}{found[3]}", html)
    html, entries = _SCRIPT.subn(lambda found: _entry(found[1]), html)
    if entries != 1:
        raise BundleError(f"index.html has {entries} scripts with a src; it needs one, {ENTRY}")
    outside = _OUTSIDE.search(html)
    if outside:
        raise BundleError(f"index.html needs another file, which cannot go along: {outside[0]}")
    html = re.sub(r"<title>[^<]*</title>", lambda _: f"<title>{_text(title)}</title>", html)
    following = f' data-next="{escape(after)}"' if after else ""
    recording = f'<script type="application/json" id="recording"{following}>{data}</script>\n'
    html = _HEAD.sub(lambda found: f"{found[0]}\n{_policy(script)}", _DATA.sub("", html), count=1)
    return html.replace(_MARK, f'{recording}<script type="module">{script}</script>')


_MARK = "<!-- the modules -->"


def _entry(name: str) -> str:
    if name != ENTRY:
        raise BundleError(f"index.html has the script {name}; {ENTRY} is the entry")
    return _MARK


def _styles(files: Mapping[str, bytes], name: str) -> str:
    text = _file(files, name)
    if "</style" in text or "@import" in text:
        raise BundleError(f"{name}: `</style` or `@import` cannot stand in one page")
    return text


def _icon(files: Mapping[str, bytes], name: str) -> str:
    kind = "image/svg+xml" if name.endswith(".svg") else "image/png"
    return f"data:{kind};base64,{base64.b64encode(files[name]).decode()}"


def _policy(script: str) -> str:
    """Only this very script runs, and nothing is fetched: a recording can come from anywhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:"
    return f'<meta http-equiv="Content-Security-Policy" content="{allowed}; base-uri \'none\'">'


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _file(files: Mapping[str, bytes], name: str) -> str:
    if name not in files:
        raise BundleError(f"{name} is not among the page's files")
    return files[name].decode().replace("\r\n", "\n")


def modules(files: Mapping[str, bytes], entry: str = ENTRY) -> str:
    """All modules that `entry` needs, and it, as one. Raises BundleError."""
    owners: dict[str, str] = {}
    parts = []
    for name in _in_order(files, entry, ()):
        text = _file(files, name)
        for declared in _declared(name, text):
            if declared in owners:
                raise BundleError(f"{declared} is at the top level of both {owners[declared]} and {name}")
            owners[declared] = name
        bare = _EXPORT.sub("", _IMPORT.sub("", text))
        left = _LEFT.search(bare)
        if left:
            raise BundleError(f"{name}: `{left[0]}` cannot be put into one page")
        if "</script" in bare or "<!--" in bare:
            raise BundleError(f"{name}: `</script` or `<!--` would end the page's script; split the text")
        parts.append(f"\n// ---- {name}\n{bare}")
    return "".join(parts)


def _declared(name: str, text: str) -> Iterator[str]:
    for found in _DECLARED.finditer(text):
        if found[2] in "{[":
            raise BundleError(f"{name}: `{found[0]}` declares several names at once; one a line, please")
        yield found[2]


def _in_order(files: Mapping[str, bytes], name: str, above: tuple[str, ...]) -> list[str]:
    """`name` and what it needs, each once, after what it needs itself."""
    if name in above:
        raise BundleError(f"modules import each other in a circle: {' → '.join([*above, name])}")
    order: list[str] = []
    for found in _IMPORT.finditer(_file(files, name)):
        for one in _in_order(files, found[2], (*above, name)):
            if one not in order:
                order.append(one)
        _check_names(files, name, found)
    return [*order, name]


def _check_names(files: Mapping[str, bytes], name: str, found: "re.Match[str]") -> None:
    exported = {one[2] for one in _DECLARED.finditer(_file(files, found[2])) if one[1]}
    for wanted in (one.strip() for one in (found[1] or "").split(",")):
        if wanted and wanted not in exported:
            raise BundleError(f"{name} imports `{wanted}`, which {found[2]} does not export by that name")
