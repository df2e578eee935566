"""The page as text; how it looks and works is test_page_in_browser's."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from odise_cli.reports.page import evaluation_page
from tests.reports.example import (
    HOSTILE,
    HOSTILE_IMAGE,
    NUM_CATEGORIES,
    category_row,
    example_pictures,
    example_report,
    jpeg,
)

VOID_ELEMENTS = {"meta", "link", "img", "input"}


class Page(HTMLParser):
    """Elements with their attributes, and the text in each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module")
def text():
    return evaluation_page(example_report(), example_pictures())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_names_and_paths_stay_text(page):
    # One script and one style, ours; no attribute that runs anything.
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert {tag for tag, _ in page.elements} & {"i", "iframe", "object", "base"} == set()
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert HOSTILE in page.text("th")
    assert HOSTILE in page.text("td")
    assert any(HOSTILE in title for title in page.text("title"))
    assert "mind <i>this</i>" in page.text("p")
    assert "/tmp/<b>preds</b>, model tiny, settings bbbbbbbbbbbbbbbb" in page.text("dd")
    assert f"prediction of {HOSTILE_IMAGE}" in [image["alt"] for image in page.all("img")]
    assert any(text.startswith(HOSTILE_IMAGE) for text in page.text("p"))


def test_the_page_needs_nothing_else(text, page):
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset")
    ]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    style = "".join(page.text("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert "http:" not in text
    assert "https:" not in text


def test_no_script_but_ours_may_run(page):
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    script = "".join(page.text("script"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


def test_every_link_inside_the_page_leads_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"][1:] for link in page.all("a")}
    assert {"figures", "frequency", "confusions", "images", "categories", "protocol"} <= targets
    assert targets <= set(ids)


def test_a_subset_says_so_in_its_title_and_before_its_figures():
    text = evaluation_page(example_report(num_images=3), {})
    page = Page(text)
    assert page.text("title")[0] == "ade20k: SUBSET of 3 of 2,000 images"
    assert page.text("h1") == ["ade20k: SUBSET of 3 of 2,000 images"]
    assert "Subset." in page.text("strong")
    assert text.index("Subset.") < text.index("41.12")
    assert any("its figures do not compare with them" in text for text in page.text("p"))


def test_the_whole_dataset_is_no_subset(text, page):
    assert page.text("h1") == ["ade20k: 2,000 images"]
    assert "Subset." not in text


def test_published_figures_are_labelled_wherever_they_stand(text):
    for value in ("22.60", "29.90", "23.40"):
        places = [match.start() for match in re.finditer(re.escape(value), text)]
        assert len(places) == 2  # beside the headline, and in the table
        assert re.search(r"published \((label|caption)\), whole dataset: $", text[: places[0]])
        assert text[: places[1]].endswith('<td class="published">')
    assert '<th class="published">published (label)</th>' in text
    assert '<dd class="own">41.12</dd>' in text
    assert "Published figures were measured by others on the whole dataset." in text


def test_without_published_figures_none_is_shown():
    text = evaluation_page(example_report(published={}), {})
    assert "whole dataset:" not in text
    assert "<p>Nobody&#x27;s published figures are known for this dataset.</p>" in text


def test_a_published_model_stands_beside_its_own_figures_only():
    protocol = {**example_report().protocol, "model": "caption"}
    text = evaluation_page(example_report(protocol=protocol), {})
    assert "23.40" in text
    assert "22.60" not in text


def test_a_category_without_truth_is_in_no_chart_and_named(page):
    assert len(page.all("circle") + page.all("path")) == NUM_CATEGORIES - 1
    assert page.text("summary") == [
        "1 category without ground truth (panoptic): in no average",
        "1 category without ground truth (semantic): in no average",
    ]


def test_the_official_pq_says_that_it_counts_false_alarms_and_the_other_stands_beside_it():
    rows = [category_row(number) for number in range(4)]
    rows[3]["PQ"] = 0.0
    figures = {"PQ": 40.0, "PQ_with_truth": 53.33}
    text = evaluation_page(example_report(categories=rows, figures=figures), {})
    assert Page(text).text("summary")[0] == (
        "1 category without ground truth (panoptic): in no average but the official PQ, SQ and "
        "RQ, in which the 1 with false positives count as 0; PQ_with_truth is without them"
    )
    assert "<dd>53.33 over categories with ground truth</dd>" in text
    # Where both say the same, one is enough.
    figures = {"PQ": 40.0, "PQ_with_truth": 40.0}
    assert "over categories" not in evaluation_page(example_report(figures=figures), {})


@pytest.mark.parametrize(("isthing", "expected"), [(True, "1"), (False, "0")])
def test_stuff_has_no_truth_because_nobody_expects_instances_of_it(isthing, expected):
    row = {**category_row(3), "isthing": isthing}
    without_truth = {"instances": [], "semantic": ["name 03"]}
    page = Page(evaluation_page(example_report(categories=[row], without_truth=without_truth), {}))
    assert next(r["data-truth"] for r in page.all("tr") if "data-truth" in r) == expected


def test_the_protocol_is_stated(page):
    terms = dict(zip(page.text("dt")[-8:], page.text("dd")[-8:], strict=False))
    assert "short side of 1024, a long side of at most 2560" in terms["images"]
    assert "ade150, 20 categories, sha256 aaaaaaaaaaaaaaaa" in terms["vocabulary"]
    assert terms["without ground truth (semantic)"] == "1 categories"
    assert terms["mIoU"] == "one matrix"


def test_three_pictures_of_an_image_and_a_word_for_one_that_is_missing(page):
    sources = [image["src"] for image in page.all("img")]
    prefix = "data:image/jpeg;base64,"
    pictures = [base64.b64decode(source.removeprefix(prefix)) for source in sources]
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (9, 9, 9), (99, 99, 99)]
    assert pictures == [jpeg(color) for color in colors]
    assert page.text("figcaption") == ["image", "ground truth", "prediction"] * 2
    assert "The photograph was not found." in page.text("div")


def test_what_was_not_measured_has_no_section():
    rows = [{"id": 0, "name": "cat", "isthing": True, "AP": 12.5, "AP50": None, "own": 1.0}]
    report = example_report(
        figures={"AR@100": 12.5},
        categories=rows,
        without_truth={"instances": []},
        confusions={},
        images={"measure": None, "worst": [], "best": []},
    )
    text = evaluation_page(report, {})
    page = Page(text)
    headings = page.text("h2")
    assert headings == ["Figures", "Categories", "Protocol"]
    assert "AR@100, this run" in page.text("dt")
    assert page.all("svg") == page.all("details") == []


def test_pixels_are_charted_where_there_are_no_segments():
    rows = [category_row(number) for number in range(1, 3)]
    for row in rows:
        for name in ("PQ", "SQ", "RQ", "num_matched", "num_spurious", "num_missed"):
            del row[name]
    report = example_report(categories=rows, without_truth={"semantic": []})
    text = evaluation_page(report, {})
    assert "<h2>IoU against frequency</h2>" in text
    assert "name 02 (thing): IoU 52.00, 2,000 pixels</title>" in text
