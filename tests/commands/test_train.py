"""`odise train` on a miniature set: what it writes, and that it goes on as if never stopped."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from odise_cli.commands.train import plan_train, run_train
from odise_cli.config import TrainConfig
from odise_cli.hub import LICENCE_NOTICE
from odise_cli.model.checkpoint import CONFIG_FILE, HEAD_FILE, load_model, read_model_folder
from odise_cli.recipe.files import load_recipe
from odise_cli.training.checkpoints import find_checkpoints
from tests.commands.training_data import write_recipe, write_training_set
from tests.runs import read_json
from tests.training.small_network import write_training_model

FROZEN = ("clip.", "diffusion.")
TIMES = ("step_seconds", "data_seconds", "images_per_second", "memory_mib")


@pytest.fixture(autouse=True)
def fresh_processes():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def training_set(tmp_path_factory):
    return write_training_set(tmp_path_factory.mktemp("training") / "set", 5)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_training_model(tmp_path_factory.mktemp("training") / "model")


@pytest.fixture
def config_of(tmp_path, model, training_set):
    def config(out="run", settings=(), resume=False, **changes):
        path = write_recipe(tmp_path / f"{out}.toml", model, **changes)
        return TrainConfig(
            recipe=load_recipe(str(path), settings),
            data=training_set,
            out=tmp_path / out,
            resume=resume,
            device="cpu",
        )

    return config


def train(config, stop_at=None):
    done = []
    return run_train(
        config,
        on_notice=lambda _: None,
        on_progress=lambda step, _: done.append(step),
        should_stop=lambda: bool(done) and done[-1] == stop_at,
    )


def metrics(run: Path):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_a_run_ends_as_a_model(config_of, supervision):
    config = config_of(supervision=supervision, settings=["validation.every=4"])
    report = train(config)
    assert not report.is_interrupted
    lines = metrics(config.out)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    names = {"loss_ce", "loss_mask", "loss_dice"} | (
        {"loss_mask_word"} if supervision == "caption" else set()
    )
    assert names <= set(lines[0])
    scores = lines[-1]["validation"]
    assert set(scores) == {"PQ", "PQ_things", "PQ_stuff", "mIoU"}
    assert report.last_scores == scores
    trained = load_model(read_model_folder(config.out))
    counts = [p.numel() for n, p in trained.named_parameters() if not n.startswith(FROZEN)]
    assert report.num_trainable == sum(counts)
    assert report.num_frozen == sum(p.numel() for p in trained.parameters()) - sum(counts)
    assert trained.config.supervision == supervision
    assert trained.config.training_words == ("square", "door", "sky")
    assert trained.config.alpha == (0.3 if supervision == "label" else 0.35)
    assert json.loads((config.out / "report.json").read_text()) == report.to_json()
    assert load_recipe(str(config.out / "recipe.toml")) == config.recipe


def test_stopped_and_continued_is_never_stopped(config_of):
    whole = config_of("whole", steps=5, settings=["validation.every=3"])
    train(whole)
    config = config_of("stopped", steps=5, settings=["validation.every=3"])
    assert train(config, stop_at=3).is_interrupted
    assert not (config.out / HEAD_FILE).exists()
    assert [step for step, _ in find_checkpoints(config.out)] == [2, 3]
    report = train(config_of("stopped", steps=5, resume=True, settings=["validation.every=3"]))
    assert (report.num_steps_before, report.num_done_steps) == (3, 5)
    assert (config.out / HEAD_FILE).read_bytes() == (whole.out / HEAD_FILE).read_bytes()
    assert metrics(config.out) == metrics(whole.out)


def test_training_changes_the_head_and_nothing_else(config_of, model):
    config = config_of(steps=1, is_head_new=False)
    train(config)
    before = load_model(read_model_folder(model)).state_dict()
    after = load_model(read_model_folder(config.out)).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not {name for name in changed if name.startswith(FROZEN)}
    assert "captioner.alpha_cond" in changed
    assert "captioner.empty_caption" not in changed


@pytest.mark.parametrize(
    ("settings", "alpha_beta"),
    [
        # A new head has the published fusion, one that goes on its own; a recipe may say another.
        ({}, (0.3, 0.7)),
        ({"supervision": "caption"}, (0.35, 0.65)),
        ({"is_head_new": False}, (0.5, 0.8)),
        ({"is_head_new": False, "are_words_new": True}, (0.3, 0.7)),
        ({"alpha": 0.6, "beta": 0.0}, (0.6, 0.0)),
        ({"is_head_new": False, "alpha": 0.6}, (0.6, 0.8)),
    ],
)
def test_the_fusion_that_the_trained_model_has(config_of, model, tmp_path, settings, alpha_beta):
    own = shutil.copytree(model, tmp_path / "own")
    described = read_json(own / CONFIG_FILE) | {"alpha": 0.5, "beta": 0.8}
    (own / CONFIG_FILE).write_text(json.dumps(described))
    config = config_of(steps=1, settings=[f"model={own}"], **settings)
    train(config)
    trained = read_json(config.out / CONFIG_FILE)
    assert (trained["alpha"], trained["beta"]) == alpha_beta


def test_a_frozen_captioner_stays(config_of, model):
    config = config_of(steps=1, is_head_new=False, freeze_captioner=True)
    train(config)
    before = load_model(read_model_folder(model)).captioner.state_dict()
    after = load_model(read_model_folder(config.out)).captioner.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_frozen_masks_stay_and_their_embeddings_learn(config_of, model):
    config = config_of(steps=1, is_head_new=False, freeze_masks=True, hidden_words=0.4)
    train(config)
    before = load_model(read_model_folder(model)).state_dict()
    after = load_model(read_model_folder(config.out)).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    learns = ("head.", "mask_generator.mask_pooling.")
    assert {name for name in changed if name.startswith(learns)} == changed
    assert {"head.null_embed", "head.text_proj.weight"} <= changed


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_new_words_for_the_masks_of_a_label_head(config_of, model, supervision):
    config = config_of(
        steps=1, supervision=supervision, is_head_new=False, are_words_new=True, freeze_masks=True
    )
    train(config)
    before = load_model(read_model_folder(model)).state_dict()
    after = load_model(read_model_folder(config.out)).state_dict()
    words = ("head.", "mask_generator.mask_pooling.", "mask_generator.class_embed.")
    masks = {name for name in after if not name.startswith(words)}
    assert masks == {name for name in before if not name.startswith(words)}
    assert all(torch.equal(before[name], after[name]) for name in masks)
    # Seeded numbers after one small step, not the label head's after one.
    new = after["head.text_proj.weight"]
    assert (new - before["head.text_proj.weight"]).abs().mean() > 0.05
    assert ("head.null_embed" in after) == (supervision == "label")


def test_a_published_label_head_whose_words_are_new_keeps_its_notice(config_of, model, tmp_path):
    licensed = shutil.copytree(model, tmp_path / "licensed")
    path = licensed / "odise.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"notice": LICENCE_NOTICE}))
    kept = {"supervision": "caption", "is_head_new": False, "are_words_new": True}
    for name, changes, notice in (("kept", kept, LICENCE_NOTICE), ("new", {}, "")):
        config = config_of(name, steps=1, settings=[f"model={licensed}"], **changes)
        train(config)
        assert read_model_folder(config.out).config.notice == notice


def test_recomputed_activations_give_the_same_run(config_of):
    kept, recomputed = config_of("kept"), config_of("recomputed", checkpoint_activations=True)
    train(kept)
    train(recomputed)
    for one, other in zip(metrics(kept.out), metrics(recomputed.out), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("frozen", ["freeze_captioner", "freeze_masks"])
def test_cached_features_give_the_same_run(config_of, frozen):
    settings = {"steps": 5, "is_head_new": False, frozen: True}
    computed, cached = (
        config_of("computed", **settings),
        config_of("cached", **settings, cache_features=True),
    )
    train(computed)
    train(cached)
    # Five images of one crop each; ten were seen.
    assert len(list((cached.out / "features").iterdir())) == 5
    for one, other in zip(metrics(computed.out), metrics(cached.out), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_the_plan(config_of):
    config = config_of(steps=10, images_per_pass=1, settings=["validation.every=5"])
    plan = plan_train(config)
    assert (plan.num_images, plan.num_validation_images, plan.num_categories) == (5, 5, 3)
    assert (plan.passes_per_step, plan.images_per_pass) == (2, 1)
    assert plan.num_epochs == 10 * 2 / 5
    assert not config.out.exists()
