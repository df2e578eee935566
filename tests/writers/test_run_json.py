import json

import pytest

from odise_cli.errors import SettingsChangedError, UsageError
from odise_cli.structures import Category
from odise_cli.writers.run_json import RunJson, check_same_settings, read_run_json
from tests.writers.fakes import CATEGORIES


def make(*, settings=None, categories=CATEGORIES, totals=None):
    return RunJson.of(
        settings={"write": ["panoptic"], **(settings or {})},
        categories=categories,
        info={"odise": "0.1.0"},
        totals=totals,
    )


def differences(found, expected, folder):
    with pytest.raises(SettingsChangedError) as info:
        check_same_settings(
            folder, found=found, expected=expected, expected_by="asked for now", advice="Mend it."
        )
    assert info.value.exit_code == 2
    start = f"{folder}: made with other settings than asked for now: "
    end = ". One folder holds the results of one setting. Mend it."
    assert str(info.value).startswith(start)
    assert str(info.value).endswith(end)
    return str(info.value)[len(start) : -len(end)]


def test_what_is_written_comes_back(tmp_path):
    run = make(settings={"sizes": (1, 2)}, totals={"seconds": 1.5})
    run.write(tmp_path / "run.json")
    assert read_run_json(tmp_path / "run.json") == run
    assert run.categories() == list(CATEGORIES)
    assert run.outputs == ["panoptic"]


def test_the_document_names_its_parts(tmp_path):
    make().write(tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["settings"] == {"write": ["panoptic"]}
    assert document["info"] == {"odise": "0.1.0"}
    assert document["totals"] is None
    assert document["vocabulary"][0]["synonyms"] == ["kitten"]
    assert document["settings_sha256"] == make().sha256


def test_the_hash_depends_on_settings_and_vocabulary_alone():
    assert make(totals={"seconds": 2}).sha256 == make().sha256
    assert make(settings={"seed": 1}).sha256 != make().sha256
    assert make(categories=CATEGORIES[:2]).sha256 != make().sha256
    assert len(make().sha256) == 64


def test_no_file_is_no_run(tmp_path):
    assert read_run_json(tmp_path / "run.json") is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x89PNG\xff",
        b"[]",
        b"{}",
        b'{"settings": {}, "vocabulary": [], "info": {}, "totals": {}}',
        b'{"settings": {"write": ["x"]}, "vocabulary": [], "info": {}, "totals": {}}',
        b'{"settings": {"write": []}, "vocabulary": [5], "info": {}, "totals": {}}',
        b'{"settings": 5, "vocabulary": [], "info": {}, "totals": {}}',
    ],
)
def test_a_run_json_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"run\.json: this is no run\.json of odise"):
        read_run_json(tmp_path / "run.json")


def test_equal_settings_agree(tmp_path):
    check_same_settings(
        tmp_path,
        found=make(settings={"a": 1}, totals={"n": 1}),
        expected=make(settings={"a": 1}),
        expected_by="asked for now",
        advice="",
    )


def test_every_setting_that_differs_is_named_with_both_values(tmp_path):
    found = make(settings={"alpha": 0.8, "model": "label", "seed": 1})
    expected = make(settings={"alpha": 0.5, "beta": 0.4, "seed": 1})
    assert differences(found, expected, tmp_path) == (
        "alpha 0.8 instead of 0.5; beta (not set) instead of 0.4; "
        'model "label" instead of (not set)'
    )


def test_long_values_are_cut_in_their_middle(tmp_path):
    roots = [f"/photos/{'archive/' * 60}{year}" for year in (2025, 2026)]
    text = differences(*(make(settings={"root": root}) for root in roots), tmp_path)
    assert len(text) < 200
    was, wanted = text.removeprefix("root ").split(" instead of ")
    assert was.startswith('"/photos/archive/')
    assert "…" in was
    assert was.endswith('/2025"')
    assert wanted.endswith('/2026"')


def test_a_vocabulary_of_another_length_is_named(tmp_path):
    text = differences(make(), make(categories=CATEGORIES[:1]), tmp_path)
    assert text == "vocabulary of 3 categories instead of 1"


def test_the_first_category_that_differs_is_named(tmp_path):
    clouds = Category(id=300, words=("sky", "cloud"), isthing=True, color=(70, 130, 180))
    expected = make(categories=[CATEGORIES[0], clouds, CATEGORIES[2]])
    assert differences(make(), expected, tmp_path) == (
        'vocabulary, category 2 ("sky"): synonyms [] instead of ["cloud"], isthing 0 instead of 1'
    )
