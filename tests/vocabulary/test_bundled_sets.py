"""`vocabularies/*.txt` against the published facts, and against what its README says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from odise_cli.data.world.concepts import CONCEPTS
from odise_cli.data.world.dataset import category_of
from odise_cli.structures import Category
from odise_cli.vocabulary.colors import automatic_color
from odise_cli.vocabulary.loader import load_vocabulary

README = Path(__file__).parents[2] / "vocabularies" / "README.md"
FACTS = {
    "ade150": "ade20k_150",
    "ade847": "ade20k_847",
    "coco133": "coco_panoptic_133",
    "context59": "pascal_context_59",
    "context459": "pascal_context_459",
    "voc21": "pascal_voc_21",
    "lvis1203": "lvis_1203",
    "cityscapes19": "cityscapes_19",
    "mapillary65": "mapillary_vistas_65",
}


def categories(name: str) -> tuple[Category, ...]:
    return load_vocabulary([name])[0].categories


@pytest.mark.parametrize("name", FACTS)
def test_ids_words_flags_and_colors_are_the_published_ones(name: str, shared: Path):
    facts_path = shared / "data" / "categories" / f"{FACTS[name]}.json"
    facts: list[dict[str, Any]] = json.loads(facts_path.read_text())["categories"]
    facts = [fact for fact in facts if not fact.get("ignore")]
    loaded = categories(name)
    assert [c.id for c in loaded] == [fact["id"] for fact in facts]
    for category, fact in zip(loaded, facts, strict=True):
        words = fact.get("label_names", [fact["name"]])
        assert (category.name, set(category.words)) == (words[0], set(words))
        assert category.isthing == fact.get("isthing", category.isthing)
        assert category.color == tuple(fact.get("color", automatic_color(category.id)))


def test_flags_that_nobody_publishes_follow_the_rule_of_the_readme():
    flags: dict[str, bool] = {}
    for name in ("ade150", "coco133"):
        for category in categories(name):
            for word in category.words:
                flags.setdefault(word, category.isthing)
    for name in ("ade847", "context59", "context459"):
        for category in categories(name):
            assert category.isthing == flags.get(category.name, True), (name, category)
    assert all(c.isthing for c in categories("lvis1203"))
    assert [c.name for c in categories("voc21") if not c.isthing] == ["background"]


def test_known_ids():
    assert [c.id for c in categories("ade150")] == list(range(150))
    by_name = {c.name: c for c in categories("cityscapes19")}
    assert (by_name["road"].id, by_name["bicycle"].id, len(by_name)) == (7, 33, 19)
    building = categories("ade847")[1]
    assert building.words == ("building", "buildings", "edifice", "edifices")


def test_the_readme_counts_right():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", README.read_text(), re.M
    )
    assert {row[0] for row in rows} == {*FACTS, "world36", "world48"}
    for name, *numbers in rows:
        loaded = categories(name)
        counts = len(loaded), sum(c.isthing for c in loaded), sum(len(c.words) for c in loaded)
        assert [int(n.replace(",", "")) for n in numbers] == list(counts)
        assert str(counts[0]) in name


def test_the_example_of_the_readme_is_read(tmp_path: Path):
    block = re.search(r"```\n(.*?)```", README.read_text(), re.S)
    assert block is not None
    path = tmp_path / "example.txt"
    path.write_text("\n".join(line.strip() for line in block[1].strip().split("\n")))
    truck, sky = load_vocabulary([str(path)])[0].categories
    assert (truck.id, truck.words, truck.isthing) == (
        13,
        ("black pickup truck", "pickup truck"),
        True,
    )
    assert (sky.id, sky.isthing, sky.color) == (12, False, (63, 160, 255))


def test_the_world_s_words_are_those_of_its_concepts():
    expected = [category_of(concept) for concept in CONCEPTS]
    assert list(categories("world48")) == expected
    seen = [category_of(c, words=(c.name,)) for c in CONCEPTS if c.is_seen]
    assert list(categories("world36")) == seen
