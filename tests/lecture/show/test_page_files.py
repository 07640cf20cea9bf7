"""The page's files, and the page with another script."""

import pytest

from pylitefs.lecture.show.bundle import modules
from pylitefs.lecture.show.page_files import TYPES, page_files, page_with


@pytest.mark.parametrize("script", ["share", "follow"])
def test_a_page_may_begin_with_another_script(script: str) -> None:
    """Which makes more of the lecture's page: that one does not begin by itself then."""
    files = page_files()
    index = page_with(files["index.html"], script).decode()
    assert f'src="{script}.js"' in index and "app.js" not in index and 'href="share.css"' in index
    assert f'<body data-page="{script}">' in index
    assert "if (!document.body.dataset.page) new LecturePage().start();" in modules(files, f"{script}.js")


def test_every_file_has_a_type() -> None:
    names = {name.rpartition(".")[2] for name in page_files()}
    assert {f".{name}" for name in names} <= set(TYPES)
