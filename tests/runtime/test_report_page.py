"""The page in a browser: no network, no errors, the record's numbers, and everything legible, light and dark, wide and
narrow.

Needs playwright and a Chromium: `apt-get install chromium` and `pip install '.[browser]'`; CNN2SNN_BROWSER names
another one, and forbids to skip.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from generators import simulations

from cnn2snn_ir.runtime.report import write_report

pytestmark = pytest.mark.slow

PROBE = (Path(__file__).parent / "page_probe.js").read_text()
SCREENS = [(1920, 1080), (1366, 768)]


@pytest.fixture(scope="module")
def browser():
    wanted = os.environ.get("CNN2SNN_BROWSER")
    path = wanted or shutil.which("chromium") or shutil.which("google-chrome")
    if not wanted:
        pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
        if path is None:
            pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=simulations.ALL)
def simulation(request):
    return simulations.ALL[request.param]()


@pytest.fixture
def show(browser, tmp_path):
    """Opens the page of a simulation; whatever the browser complains about, or asks a network for, fails the test."""
    complaints, contexts = [], []

    def opened(simulation, scheme="light", screen=SCREENS[0]):
        path = tmp_path / "report.html"
        write_report(simulation, path)
        size = {"width": screen[0], "height": screen[1]}
        context = browser.new_context(offline=True, color_scheme=scheme, viewport=size)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.extend([request.url] * (request.url != path.as_uri())))
        page.goto(path.as_uri())
        page.evaluate(PROBE)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def record_value(data, path):
    for key in path.split("."):
        data = data[int(key)] if key.isdigit() else data[key]
    return data


def agrees(text, value):
    """Whether a number as shown is the value, rounded to the digits that are shown."""
    if text.startswith("<"):
        return value < float(re.sub(r"[^\d.]", "", text))
    digits = re.sub(r"[,%≈\s]", "", text)
    last = 10.0 ** -len(digits.partition(".")[2])
    if "." not in digits and len(digits) == 3 and value < 1000:
        last = 1.0
    return abs(float(digits) - value) <= 0.5001 * last


def test_numbers_are_those_of_the_record(show, simulation):
    page = show(simulation)
    data = simulation.as_json()
    shown = page.eval_on_selector_all(
        "[data-value]", "nodes => nodes.map(n => [n.dataset.value, n.textContent, Number(n.dataset.factor ?? 1)])"
    )
    for path, text, factor in shown:
        assert agrees(text, record_value(data, path) * factor), (path, text)
    paths = {path for path, _, _ in shown}
    energetic = simulation.total_mj is not None
    wanted = {"latency_ms", "fps", "nps", "assigned_nps", "passes"}
    wanted |= {"total_mj", "dynamic_mj", "power_mw"} if energetic else set()
    for i in range(len(simulation.layers)):
        wanted |= {f"layers.{i}.density", f"layers.{i}.clocks.total"}
        wanted |= {f"layers.{i}.energy.total"} if energetic else set()
    assert wanted <= paths
    assert page.title() == f"{simulation.model} on {simulation.device.name}"
    assert page.text_content("h1") == simulation.model
    assert ("no energy data for this device" in page.text_content(".result")) is not energetic


def test_bars_are_as_long_as_the_clocks(show, simulation):
    page = show(simulation)
    lengths = page.eval_on_selector_all(
        "table.layers tr[data-layer]",
        """rows => rows.map(row => { const stack = row.querySelector(".stack");
            const all = stack.getBoundingClientRect().width;
            return [Number(row.dataset.layer), [...stack.children].map(bar =>
                [bar.className, bar.getBoundingClientRect().width / all])]; })""",
    )
    assert sorted(i for i, _ in lengths) == list(range(len(simulation.layers)))
    longest = max(layer.clocks.total for layer in simulation.layers)
    for i, bars in lengths:
        clocks = simulation.as_json()["layers"][i]["clocks"]
        total = clocks.pop("total")
        assert [name for name, _ in bars] == [f"c-{key}" for key, value in clocks.items() if value > 0]
        slack = 0.012 * (len(bars) + 1)  # a bar is at least a pixel
        assert sum(length for _, length in bars) == pytest.approx(total / longest, abs=slack)
        for name, length in bars:
            assert length == pytest.approx(clocks[name[2:]] / longest, abs=slack)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda s: str(s[0]))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_legible(show, simulation, scheme, screen):
    page = show(simulation, scheme, screen)
    assert page.evaluate("probe.overflow()") == []
    assert page.evaluate("probe.collisions()") == []
    contrast = page.evaluate("probe.faint()")
    assert contrast["looked"] > 50
    assert contrast["faint"] == []
    page.eval_on_selector_all("#provenance .fold", "all => all.forEach(one => one.click())")
    assert page.locator("#provenance table.parts:visible").count() == len(simulation.layers)
    assert page.evaluate("probe.overflow()") == []


def test_print_fits_and_is_light(show, simulation):
    page = show(simulation, "dark", (1040, 720))
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("probe.overflow()") == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("probe.faint()")["faint"] == []


def test_low_confidence_and_what_if_cannot_be_overlooked(show):
    for simulation, words in ((simulations.branches(), "low confidence"), (simulations.large(), "what-if")):
        page = show(simulation)
        assert words in page.text_content("#head .alert").lower()
        for heading in page.query_selector_all(".timed > h2"):
            assert words in heading.text_content().lower()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        badge = page.locator("#strip .badge")
        assert words in badge.text_content().lower()
        assert badge.bounding_box()["y"] < 60
    page = show(simulations.kws())
    assert page.query_selector_all(".alert, .badge.loud, .badge.supposed") == []


def test_every_pass_of_the_mesh_has_its_parts(show, simulation):
    page = show(simulation)
    passes = [(s, one) for s, sequence in enumerate(simulation.sequences) for one in sequence.passes]
    tabs = page.query_selector_all("#mesh .tabs button")
    assert len(tabs) == (len(passes) if len(passes) > 1 else 0)
    for k, (sequence, one) in enumerate(passes):
        if tabs:
            tabs[k].click()
        inside = [
            (i, layer)
            for i, layer in enumerate(simulation.layers)
            if (layer.sequence, layer.pass_index) == (sequence, one.index) and layer.unit != "DMA"
        ]
        drawn = page.eval_on_selector_all("#mesh svg [data-layer]", "all => all.map(g => Number(g.dataset.layer))")
        assert sorted(drawn) == sorted(i for i, layer in inside for _ in layer.parts)
        cells = page.locator("#mesh svg .mesh-node").count()
        assert cells == simulation.device.nodes


def test_a_layer_lights_up_everywhere(show):
    page = show(simulations.kws())
    page.hover('table.layers tr[data-layer="2"] td.words')
    page.wait_for_timeout(300)
    opacity = "all => [...new Set(all.map(g => getComputedStyle(g).opacity))]"
    for picture in ("#graph", "#mesh", "#roofline", "#timeline"):
        assert page.eval_on_selector_all(f'{picture} svg [data-layer="2"]', opacity) == ["1"]
        assert page.eval_on_selector_all(f'{picture} svg [data-layer]:not([data-layer="2"])', opacity) == ["0.22"]
    page.hover("h1")
    page.wait_for_timeout(300)
    assert page.eval_on_selector_all("svg [data-layer]", opacity) == ["1"]


def test_tooltips_tell_the_part(show):
    simulation = simulations.kws()
    page = show(simulation)
    page.hover('#mesh svg [data-layer="1"] .level >> nth=0')
    part = simulation.layers[1].parts[0]
    told = page.text_content("#tip")
    assert f"rows {part.rows[0]}–{part.rows[1] - 1}" in told
    assert f"filters {part.filters[0]}–{part.filters[1] - 1}" in told
    assert f"{part.clocks:,.0f} clocks" in told
    page.focus("#graph svg [tabindex]")
    page.keyboard.press("Tab")
    assert simulation.layers[1].name in page.text_content("#tip")
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def ticks(page):
    return page.eval_on_selector_all("#timeline text.tick", "all => all.map(t => t.textContent)")


def test_timeline_zooms_by_dragging(show):
    page = show(simulations.kws(batch=4))
    before = ticks(page)
    drawn = page.locator("#timeline svg")
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 120, steps=4)
    assert float(page.get_attribute("#timeline .selection", "width")) == pytest.approx(0.1 * box["width"], abs=2)
    page.mouse.up()
    assert "0" not in ticks(page)
    assert page.evaluate("probe.overflow()") == []
    page.click("#timeline button >> nth=0")
    assert ticks(page) == before
    page.click("#timeline button >> text=+")
    assert ticks(page) != before
    page.dblclick("#timeline svg", position={"x": 300, "y": 100})
    assert ticks(page) == before


def test_timeline_says_when_it_has_the_first_frames_only(show):
    page = show(simulations.placed(batch=20))
    assert "first 8 of 20 frames" in page.text_content("#timeline").lower()


def test_narrower_window_is_drawn_again(show):
    page = show(simulations.akidanet())
    for width in (1310, 1290, 1000):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(200)
        assert page.evaluate("probe.overflow()") == []
        assert page.evaluate("probe.collisions()") == []
