"""The page as people have it: looked at, printed, and used with a keyboard."""

import io

import numpy as np
import pytest
from PIL import Image

from odise_cli.reports.page import evaluation_page
from tests.reports.browser import Browser, find_chromium
from tests.reports.example import HOSTILE, NUM_CATEGORIES, example_pictures, example_report

SIZE = {"width": 1200, "height": 900}
SHOWN = "[...document.querySelectorAll('#categories-table tbody tr')].filter(r => !r.hidden)"
COLUMNS = {"id": 0, "category": 1, "PQ": 3, "IoU": 6}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium: apt-get install chromium")
    browser = Browser(executable, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(evaluation_page(example_report(), example_pictures()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser, address):
    """The page in the window; whatever it complained about by the end of the test is an error."""
    browser.look(**SIZE)
    browser.show(address)
    yield browser
    assert browser.complaints() == []


def column(page, name):
    """What the visible rows say in a column, from top to bottom."""
    return page.run(f"{SHOWN}.map(r => r.cells[{COLUMNS[name]}].textContent)")


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_picture_is_not_blank_in_light_and_in_dark(page):
    light, dark = (pixels(page.look(**SIZE, scheme=scheme)) for scheme in ("light", "dark"))
    assert light.shape == dark.shape == (900, 1200, 3)
    for picture in (light, dark):
        # Text, rules and tiles: many shades beside the paper's.
        assert len(np.unique(picture @ (1, 256, 65_536))) > 50
    assert np.median(light) > 240
    assert np.median(dark) < 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_has_contrast(page, scheme):
    page.look(**SIZE, scheme=scheme)
    for selector in ("body", ".note", "nav a", ".banner", ".tile .published"):
        ink, paper = page.run(
            "(() => { const e = document.querySelector("
            f"{selector!r}); const own = getComputedStyle(e).backgroundColor;"
            "const clear = own === 'rgba(0, 0, 0, 0)';"
            "return [getComputedStyle(e).color,"
            "clear ? getComputedStyle(document.body).backgroundColor : own]})()"
        )
        bright, dim = sorted((luminance(ink), luminance(paper)), reverse=True)
        # Source: WCAG 2.2, 1.4.3, level AA.
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (selector, ink, paper)


def luminance(color):
    """Relative luminance of `rgb(r, g, b)`. Source: WCAG 2.2."""
    shares = [int(channel) / 255 for channel in color[4:-1].split(",")]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_picture_is_shown(page):
    assert page.run("[...document.images].map(i => i.complete && i.naturalWidth)") == [60] * 5
    drawn = page.run("[...document.querySelectorAll('.triple')].map(t => t.children.length)")
    assert drawn == [3, 3]


def test_what_a_page_complains_about_is_noticed(browser):
    for script in ("throw new Error('no')", "console.error('no')", "new Image().src = 'http://x/'"):
        browser.show(f"data:text/html,<script>{script}</script>")
        assert browser.complaints() or browser.requests(), script


def test_nothing_is_requested_but_the_page(page, address):
    assert page.requests() == [address]


def test_names_run_no_script(page):
    # A dialog would leave the page waiting; an element of a name would be in the document.
    assert page.run("document.querySelectorAll('script, img[src=x], td i, td b').length") == 1
    assert HOSTILE in column(page, "category")


def test_a_click_sorts_numbers_and_a_second_one_turns_them_around(page):
    before = column(page, "PQ")
    assert before[:4] == ["100.00", "95.00", "90.00", "–"]
    page.run("document.querySelector('th[data-column=IoU] button').click()")
    # The figure with two decimals; a category without one is last, whichever way.
    expected = [f"{50 + number}.00" for number in range(NUM_CATEGORIES) if number != 3]
    assert column(page, "IoU") == [*expected[::-1], "–"]
    page.run("document.querySelector('th[data-column=IoU] button').click()")
    assert column(page, "IoU") == [*expected, "–"]
    # As numbers: as text 5.00 would come after 40.00.
    page.run("document.querySelector('th[data-column=PQ] button').click()")
    page.run("document.querySelector('th[data-column=PQ] button').click()")
    assert column(page, "PQ")[:3] == ["5.00", "10.00", "15.00"]
    sorted_by = "[...document.querySelectorAll('th[aria-sort]')].map(h => h.dataset.column)"
    assert page.run(sorted_by) == ["PQ"]


def test_the_keyboard_alone_sorts_and_filters(page):
    page.run("document.querySelector('nav a:last-child').focus()")
    reached = []
    for _ in range(6):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["filter-name", "filter-kind", "filter-truth", "id", "category", "kind"]
    page.run("document.querySelector('th[data-column=category] button').focus()")
    page.press("Enter")
    header = "document.querySelector('th[data-column=category]').getAttribute('aria-sort')"
    assert page.run(header) == "ascending"
    page.press("Enter")
    assert page.run(header) == "descending"
    assert column(page, "category")[0] == "name 19"
    page.run("document.getElementById('filter-name').focus()")
    page.type("NAME 1")
    assert column(page, "category") == [f"name {number}" for number in range(19, 9, -1)]
    assert page.run("document.getElementById('filter-count').textContent") == (
        "10 of 20 categories"
    )


def test_things_and_categories_with_truth_can_be_had_alone(page):
    page.run(
        "for (const [id, key, value] of [['kind', 'value', 'stuff'], ['truth', 'checked', true]])"
        "{ const e = document.getElementById('filter-' + id); e[key] = value;"
        "e.dispatchEvent(new Event('input')) }"
    )
    # Odd ones are stuff; 3 has no ground truth.
    assert column(page, "id") == [str(10 * n) for n in range(1, NUM_CATEGORIES, 2) if n != 3]


def test_a_view_can_be_sent_as_an_address(page, address):
    page.run("document.querySelector('th[data-column=IoU] button').click()")
    page.run("document.getElementById('filter-name').value = 'name 0'")
    page.run("document.getElementById('filter-name').dispatchEvent(new Event('input'))")
    view, shown = page.run("location.hash"), column(page, "id")
    assert view == "#sort=-IoU&name=name+0"
    page.show(address + view)
    assert column(page, "id") == shown
    assert len(shown) == 9


def test_a_point_of_the_chart_speaks_and_leads_to_its_row(page):
    page.run("document.getElementById('filter-name').value = 'nothing like it'")
    page.run("document.getElementById('filter-name').dispatchEvent(new Event('input'))")
    assert column(page, "id") == []
    page.run(
        "document.querySelector('a[href=\"#category-40\"] > *').dispatchEvent("
        "new PointerEvent('pointerover', {bubbles: true}))"
    )
    assert page.run("document.querySelector('.tip').textContent") == (
        "name 04 (thing): PQ 80.00, 16 segments"
    )
    page.run("location.hash = '#category-40'")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert column(page, "id") == ["40"]


def test_on_paper_nothing_is_folded_and_no_control_is_left(page):
    assert page.run("document.querySelectorAll('details[open]').length") == 0
    pdf = page.print()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
    assert page.run("document.querySelectorAll('details:not([open])').length") == 0
    page.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('nav, .controls')].filter(e => e.offsetHeight).length"
    assert page.run(shown) == 0
    page.call("Emulation.setEmulatedMedia", media="")
    assert page.run(shown) == 2


def test_a_narrow_window_does_not_scroll_sideways(page):
    page.look(width=400, height=800)
    assert page.run("document.documentElement.scrollWidth") == 400
