"""The committed pages of docs/ are those that the tables give, and what the others show is so."""

import re
from pathlib import Path

import numpy as np
import pytest

from cnn2snn_ir.passes.registry import PASSES
from cnn2snn_ir.reference.arithmetic import shift_round
from cnn2snn_ir.text import FORMAT_VERSION, parse_module, print_module
from cnn2snn_ir.tools import docs, listing

FOLDER = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", docs.PAGES)
def test_the_page_is_up_to_date(name):
    written = (FOLDER / name).read_text("utf-8")
    assert written == docs.text_of(docs.PAGES[name]), "run python -m cnn2snn_ir.tools.docs docs"


def test_the_command_writes_all_pages(tmp_path):
    assert docs.main([str(tmp_path / "new")]) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(docs.PAGES)
    assert docs.main([]) == 1


def test_the_listing_of_passes_is_up_to_date():
    found = {name: listing.described(name) for name in PASSES}
    assert listing.written() == found, "run python -m cnn2snn_ir.tools.listing"
    assert listing.list_passes() == "\n".join(found[name] for name in sorted(found))


def test_the_text_that_the_page_on_text_shows_is_canonical():
    page = (FOLDER / "text_form.md").read_text("utf-8")
    version, _, text = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0].partition("\n")
    assert version == f"// c2s {FORMAT_VERSION}"
    assert print_module(parse_module(text)) == text


def test_the_products_that_the_page_on_numerics_shows():
    page = (FOLDER / "numerics.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|.*\| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for accumulator, mantissa, right, exact, float32 in (map(int, row) for row in rows):
        assert shift_round(np.int64(accumulator * mantissa), np.int64(-right)) == exact
        product = np.float32(accumulator) * np.float32(mantissa) * np.float32(2.0**-right)
        assert np.floor(product + np.float32(0.5)) == float32
