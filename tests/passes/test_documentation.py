"""The committed pages of docs/ are those that the tables give."""

from pathlib import Path

import pytest

from cnn2snn_ir.tools import docs

FOLDER = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", docs.PAGES)
def test_the_page_is_up_to_date(name):
    written = (FOLDER / name).read_text("utf-8")
    assert written == docs.text_of(docs.PAGES[name]), "run python -m cnn2snn_ir.tools.docs docs"


def test_the_command_writes_all_pages(tmp_path):
    assert docs.main([str(tmp_path / "new")]) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(docs.PAGES)
    assert docs.main([]) == 1
