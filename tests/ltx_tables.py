"""The field tables in docs/ltx.md, made from the code's own: those that the byte inspector shows.

    python -m tests.ltx_tables            writes them anew

The rule: nothing stands in these tables that the code does not say; tests/test_docs_ltx.py compares them.
"""

from collections.abc import Iterator

from pylitefs.lecture.show.layouts import Section, sections
from pylitefs.ltx.formats import WRITTEN_BY, Format
from tests.house import ROOT

PAGE = ROOT.parent / "docs" / "ltx.md"
_BEGIN, _END = "<!-- the fields, by `python -m tests.ltx_tables` -->\n", "<!-- end of the fields -->\n"
_HAS = {
    Format.V1: ("all pages plain, or in one LZ4 frame", "no"),
    Format.V2: ("one LZ4 frame", "yes"),
    Format.V3A: ("one LZ4 frame", "yes"),
    Format.V3B: ("one LZ4 block", "yes"),
}


def tables() -> str:
    """All of them."""
    lines = ["| format | written by | a page | index at the end | here |", "| --- | --- | --- | --- | --- |"]
    for form, programs in WRITTEN_BY.items():
        page, index = _HAS[form]
        here = "read, written" if form in (Format.V1, Format.V3B) else "read"
        lines.append(f"| {form.value} | {programs} | {page} | {index} | {here} |")
    lines.append("")
    for section in sections():
        if section.title.startswith("LTX "):
            lines += _table(section)
    return "\n".join(lines).rstrip() + "\n"


def _table(section: Section) -> Iterator[str]:
    yield f"**{section.title.removeprefix('LTX file: ').capitalize()}.** {section.about}"
    yield ""
    yield "| at | bytes | field | what it is |"
    yield "| --: | --: | --- | --- |"
    for row in section.rows:
        yield f"| {row.offset} | {row.size} | {row.name} | {row.meaning} |"
    yield ""


def in_docs() -> str:
    """The tables as docs/ltx.md has them."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0].strip("\n") + "\n"


def main() -> None:
    text = PAGE.read_text()
    before, mark, rest = text.partition(_BEGIN)
    assert mark, f"{PAGE} has no line {_BEGIN.strip()}"
    PAGE.write_text(before + mark + "\n" + tables() + "\n" + _END + rest.partition(_END)[2])


if __name__ == "__main__":
    main()
