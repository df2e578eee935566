import tomllib
from dataclasses import replace

import pytest

from odise_cli.errors import MissingDataError, UsageError
from odise_cli.recipe.files import (
    bundled_recipes,
    differing_settings,
    load_recipe,
    recipe_to_toml,
)
from odise_cli.recipe.schema import Recipe


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('steps = 10\n[data]\nvocab = ["ade150"]\nmax_scale = 3\n')
    return str(path)


def test_a_file_over_the_defaults(recipe_file):
    recipe = load_recipe(recipe_file)
    assert recipe.steps == 10
    assert recipe.data.vocab == ("ade150",)
    assert (recipe.data.max_scale, type(recipe.data.max_scale)) == (3.0, float)
    assert recipe.batch_size == Recipe().batch_size == 64


def test_settings_win_and_need_no_quotes(recipe_file):
    recipe = load_recipe(
        recipe_file,
        [
            "steps = 7",
            "model=tiny",
            "optimizer.learning_rate=1e-3",
            "optimizer.betas=[0.8, 0.9]",
            "data.vocab=coco133",
            "data.augment=false",
            "validation.limit=5",
            "schedule.milestones=[]",
        ],
    )
    assert (recipe.steps, recipe.model) == (7, "tiny")
    assert recipe.optimizer.learning_rate == 0.001
    assert recipe.optimizer.betas == (0.8, 0.9)
    assert recipe.data.vocab == ("coco133",)
    assert not recipe.data.augment
    assert recipe.validation.limit == 5
    assert recipe.schedule.milestones == ()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stepz=7", r"mine\.toml: stepz is no setting\. .* Did you mean steps\?"),
        ("data.crops=7", r"data\.crops is no setting\. .* Did you mean data\.crop_size\?"),
        ("learning_rate=1", r"learning_rate is no .* Did you mean optimizer\.learning_rate\?"),
        ("zzz=1", r"zzz is no setting\. Expected keys of a recipe\. Remove it\."),
        ("steps", r"^--set: 'steps' sets nothing\. Expected KEY=VALUE\."),
        ("=3", r"^--set: '=3' sets nothing\."),
        ("steps=many", r"mine\.toml: steps: 'many' is of the wrong type\. .* whole number\."),
        ("steps=1.5", r"steps: 1\.5 is of the wrong type\. Expected a whole number\."),
        ("steps=true", r"steps: True is of the wrong type\. Expected a whole number\."),
        ("data.augment=1", r"data\.augment: 1 is of the wrong type\. Expected true or false\."),
        ("model=3", r"model: 3 is of the wrong type\. Expected a text\."),
        ("optimizer.betas=[1]", r"betas: \[1\] is of the wrong length\. Expected 2 values\."),
        ("optimizer=3", r"optimizer: 3 is a value\. Expected a table of keys\."),
        ("steps.x=3", r"^--set: steps\.x: steps is a value and no table\."),
        ("steps=0", r"mine\.toml: steps: 0 is too small\. Expected at least 1\."),
        ("schedule.gamma=2.0", r"mine\.toml: schedule\.gamma: 2\.0 is out of range\."),
    ],
)
def test_settings_that_mean_nothing(recipe_file, setting, message):
    with pytest.raises(UsageError, match=message):
        load_recipe(recipe_file, [setting])


@pytest.mark.parametrize("content", [b"steps = ", b"\xff\xfe", b"steps"])
def test_what_is_no_toml(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"broken\.toml: .*\. Expected a recipe in TOML\."):
        load_recipe(str(path))


def test_an_unknown_name():
    with pytest.raises(MissingDataError, match=r"'label_cocoo' is neither .* mean label_coco\?"):
        load_recipe("label_cocoo")


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_can_be_read_and_written_back(name, tmp_path):
    recipe = load_recipe(name)
    assert load_recipe(f"{name}.toml") == recipe
    path = tmp_path / "again.toml"
    path.write_text(recipe_to_toml(recipe))
    assert load_recipe(str(path)) == recipe


def test_the_published_runs():
    label, caption, single = map(load_recipe, ("label_coco", "caption_coco", "single_gpu"))
    for recipe in (label, caption, single):
        assert (recipe.steps, recipe.batch_size, recipe.data.crop_size) == (92188, 64, 1024)
        assert recipe.is_head_new
        assert recipe.optimizer.learning_rate == 1e-4
        assert recipe.optimizer.weight_decay == 0.05
        assert recipe.optimizer.clip_norm == 0.01
        assert recipe.schedule.warmup * 92188 == pytest.approx(250, abs=0.01)
        # Multiples of the step: where the run's 163,889th and 177,546th of 184,375 steps fall.
        first, second = recipe.schedule.milestones
        assert first * 184375 == pytest.approx(163889, abs=0.1)
        assert second * 184375 == pytest.approx(177546, abs=0.1)
    assert (label.supervision, caption.supervision) == ("label", "caption")
    assert (single.images_per_pass, single.checkpoint_activations) == (1, True)
    assert single.precision == "bf16"


def test_toml_has_every_table_once():
    text = recipe_to_toml(Recipe(data=replace(Recipe().data, vocab=('a "b"', "c\\d", "é"))))
    assert text.count("[data]") == text.count("[optimizer]") == 1
    assert tomllib.loads(text)["data"]["vocab"] == ['a "b"', "c\\d", "é"]
    assert "images_per_pass" not in text


def test_differences_are_named_where_they_change_the_weights():
    recipe = Recipe()
    other = replace(recipe, steps=9, log_every=3, data=replace(recipe.data, num_workers=0))
    assert differing_settings(recipe, recipe) == []
    assert differing_settings(other, recipe) == ["steps: 9, was 1000"]
