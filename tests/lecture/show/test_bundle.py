"""One page of many files: modules are put in order, and what cannot be put together is refused."""

import re

import pytest

from pylitefs.lecture.show.bundle import BundleError, bundle, modules
from pylitefs.lecture.show.page_files import page_files

INDEX = b"""<!doctype html>
<html lang="en"><head><title>x</title>
<link rel="icon" href="icon.svg"><link rel="stylesheet" href="style.css">
<script type="module" src="app.js"></script></head>
<body><p>Hello</p></body></html>
"""
FILES = {
    "index.html": INDEX,
    "style.css": b"p { color: red }\n",
    "icon.svg": b"<svg/>",
    "app.js": b'import { one } from "./a.js";\nimport {\n  two,\n  three,\n} from "./b.js";\none(two);\n',
    "a.js": b'import { two } from "./b.js";\nexport function one() { return two; }\n',
    "b.js": b"export const two = 2;\nexport async function three() {}\nconst inner = 1;\n",
}


def test_a_module_stands_after_what_it_imports_and_only_once() -> None:
    text = modules(FILES)
    assert text.index("const two = 2") < text.index("function one()") < text.index("one(two);")
    assert text.count("const two") == 1
    assert "import" not in text
    assert "export" not in text


def test_the_page_holds_everything_and_only_its_own_script_may_run() -> None:
    html = bundle(FILES, "QUJD", "A <b> & c")
    assert "<title>A &lt;b> &amp; c</title>" in html
    assert "p { color: red }" in html
    assert 'href="data:image/svg+xml;base64,' in html
    assert '<script type="application/json" id="recording">QUJD</script>' in html
    assert "src=" not in html
    assert "default-src 'none'; script-src 'sha256-" in html
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_a_placeholder_for_the_recording_is_replaced() -> None:
    place = b'<script type="application/json" id="recording"></script>'
    html = bundle({**FILES, "index.html": INDEX.replace(b"<p>Hello", place + b"<p>Hello")}, "QUJD", "t")
    assert html.count('id="recording"') == 1


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("app.js", 'import * as a from "./a.js";\n', "`import * as a"),
        ("app.js", 'import { one as eins } from "./a.js";\n', "`one as eins`"),
        ("app.js", 'import { nothing } from "./a.js";\n', "imports `nothing`"),
        ("app.js", 'import { x } from "./missing.js";\n', "missing.js is not among"),
        ("app.js", 'const a = await import("./a.js");\n', "`import(`"),
        ("app.js", "export default 3;\n", "`export default 3;`"),
        ("app.js", "export { a };\n", "`export { a };`"),
        ("app.js", "const { a, b } = c;\n", "several names"),
        ("app.js", 'const a = "</script>";\n', "would end the page's script"),
        ("a.js", "const inner = 2; export function one() {}\n", "imports `one`"),
        ("a.js", "const inner = 2;\nexport function one() {}\n", "inner is at the top level of both"),
        ("b.js", 'import { one } from "./a.js";\nexport const two = 1;\nexport const three = 1;\n', "circle"),
        ("index.html", "<head></head>", "0 scripts"),
        ("index.html", '<script src="other.js"></script>', "other.js"),
        ("index.html", INDEX.decode() + '<img src="x.png">', "needs another file"),
        ("style.css", '@import "x.css";', "@import"),
        ("style.css", "p { background: url(x.png) }", "needs another file"),
    ],
)
def test_what_cannot_be_one_page_is_refused(name: str, text: str, what: str) -> None:
    files = {**FILES, name: text.encode()}
    if name == "a.js":
        files["app.js"] = b'import { three } from "./b.js";\nimport { one } from "./a.js";\n'
    with pytest.raises(BundleError) as error:
        bundle(files, "", "t")
    assert what in str(error.value)


def test_the_lectures_own_page_can_be_bundled() -> None:
    html = bundle(page_files(), "QUJD", "t")
    assert "QUJD" in html
    assert len(html.encode()) < 400_000, "the rest of 1 MB is for the recording"


def test_what_a_module_of_the_page_imports_is_exported_there() -> None:
    """A browser shows nothing at all where one name is missing; here the name is told."""
    files = {name: data.decode() for name, data in page_files().items() if name.endswith(".js")}
    missing = []
    for name, text in files.items():
        for names, source in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', text):
            exported = re.findall(r"export (?:async )?(?:function|class|const|let) (\w+)", files[source])
            wanted = [one.split(" as ")[0].strip() for one in names.split(",") if one.strip()]
            missing += [f"{name}: {one} of {source}" for one in wanted if one not in exported]
    assert missing == []
