"""The page as a file: complete in itself, unable to reach a network, and unmoved by what names say."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from generators import simulations

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.runtime.report import html as page
from cnn2snn_ir.runtime.report import report_html, write_report

SVG_NAMESPACE = "http://www.w3.org/2000/svg"


class Reader(HTMLParser):
    """Elements with their attributes, and the text of those that hold no markup."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open = tag in ("script", "style", "title")
        if self.open:
            self.texts.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.open:
            self.texts[-1][2] += data

    def handle_endtag(self, tag):
        self.open = False

    def text_of(self, tag, kind=None):
        return next(text for name, attributes, text in self.texts if name == tag and attributes.get("type") == kind)


@pytest.fixture(scope="module", params=simulations.ALL)
def simulation(request):
    return simulations.ALL[request.param]()


@pytest.fixture(scope="module")
def reader(simulation):
    return Reader(report_html(simulation))


def test_embedded_data_is_the_record(simulation, reader):
    assert json.loads(reader.text_of("script", "application/json")) == json.loads(json.dumps(simulation.as_json()))


def test_structure_does_not_depend_on_names(reader):
    plain = Reader(report_html(simulations.kws()))
    assert [tag for tag, _ in reader.elements] == [tag for tag, _ in plain.elements]
    assert sum(tag == "script" for tag, _ in reader.elements) == 2


def test_policy_allows_what_is_written_and_nothing_else(reader):
    policy = next(a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    hashes = {
        base64.b64encode(hashlib.sha256(reader.text_of(tag).encode()).digest()).decode() for tag in ("script", "style")
    }
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_is_fetched(reader):
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe", "base", "object")
        assert not {"src", "href", "srcset", "style", "onload"} & attributes.keys()
    code = reader.text_of("script") + reader.text_of("style")
    assert set(re.findall(r"https?://[^\"'\s)]*", code)) == {SVG_NAMESPACE}
    assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|innerHTML|\beval\(|document\.write", code)


def test_every_file_of_the_page_is_in_it(reader):
    code = reader.text_of("script") + reader.text_of("style")
    folder = Path(page.__file__).parent / "page"
    for path in folder.iterdir():
        assert path.name == "page.html" or path.read_text() in code, path


def test_places_in_names_stay_what_they_are():
    text = report_html(replace(simulations.kws(), model="{{script}}"))
    assert Reader(text).text_of("title").startswith("{{script}} on ")
    assert text.count("function drawHeader") == 1


def test_file_holds_the_page(tmp_path, simulation):
    path = tmp_path / "report.html"
    write_report(simulation, path)
    assert path.read_text("utf-8") == report_html(simulation)


def test_a_name_that_utf_8_cannot_say_is_written_all_the_same(tmp_path):
    path = tmp_path / "report.html"
    write_report(replace(simulations.kws(), model="caf\udce9"), path)
    assert Reader(path.read_text("utf-8")).text_of("script", "application/json").count("\\udce9") == 1


def test_missing_directory_is_a_diagnostic(tmp_path):
    with pytest.raises(CompileError, match="cannot write the file"):
        write_report(simulations.kws(), tmp_path / "nowhere" / "report.html")


def test_help_does_not_import_the_report():
    code = "import sys; import cnn2snn_ir.tools.cnn2snn; print([m for m in sys.modules if 'runtime.report' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
