"""Panoptic quality against arithmetic, a slow loop, the official script and hotcoco."""

import json
from collections import Counter

import numpy as np
import pytest
from hotcoco.panoptic import pq_compute

from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.evaluation.panoptic_quality import PanopticQuality
from odise_cli.structures import LabelRuns, Region
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.writers.panoptic import encode_panoptic_png
from tests.evaluation.scenes import (
    NUM_CATEGORIES,
    as_runs,
    disturbed,
    random_map,
    regions_of,
    renumbered,
)

EVERYTHING = np.ones(NUM_CATEGORIES, bool)


def random_pair(rng, size=(12, 16)):
    """Truth with crowds, and a prediction that overlaps it."""
    truth_HW = random_map(rng, size)
    predicted_HW = disturbed(rng, truth_HW)
    return (
        truth_HW,
        regions_of(rng, truth_HW, crowd_share=0.25),
        predicted_HW,
        regions_of(rng, predicted_HW),
    )


def scored(*pairs):
    quality = PanopticQuality(NUM_CATEGORIES)
    for pair in pairs:
        quality.update(*as_runs(pair))
    return quality.compute()


def slow_scores(pairs):
    """(IoU sum, matched, spurious, missed) by category; pixel by pixel, pair by pair."""
    iou, matched, spurious, missed = Counter(), Counter(), Counter(), Counter()
    for truth_HW, truth, predicted_HW, predicted in pairs:
        pixels = list(zip(truth_HW.ravel().tolist(), predicted_HW.ravel().tolist(), strict=True))
        truth_found, predicted_found = set(), set()
        for t in truth:
            for p in predicted:
                if t.iscrowd or t.category != p.category:
                    continue
                both = sum(a == t.id and b == p.id for a, b in pixels)
                either = sum(a == t.id or (b == p.id and a != 0) for a, b in pixels)
                if 2 * both > either:
                    iou[t.category] += both / either
                    matched[t.category] += 1
                    truth_found.add(t.id)
                    predicted_found.add(p.id)
        missed.update(t.category for t in truth if not t.iscrowd and t.id not in truth_found)
        for p in predicted:
            if p.id in predicted_found:
                continue
            crowds = [t.id for t in truth if t.iscrowd and t.category == p.category]
            free = {0, *crowds[-1:]}
            area = sum(b == p.id for _, b in pixels)
            if 2 * sum(b == p.id and a in free for a, b in pixels) <= area:
                spurious[p.category] += 1
    return iou, matched, spurious, missed


def assert_counts(scores, slow):
    iou, *counts = slow
    for k in range(NUM_CATEGORIES):
        assert scores.iou_sum[k] == pytest.approx(iou[k], abs=1e-9)
        found = [scores.num_matched[k], scores.num_spurious[k], scores.num_missed[k]]
        assert found == [count[k] for count in counts]


def test_thousands_of_pairs_are_scored_as_a_slow_loop_scores_them():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        pair = random_pair(rng, (6, 8))
        assert_counts(scored(pair), slow_scores([pair]))


def test_by_hand():
    # Truth: 8 pixels of region 1 (category 0), 4 of region 2 (category 1), 4 void.
    truth_HW = np.array([[1, 1, 2, 0], [1, 1, 2, 0], [1, 1, 2, 0], [1, 1, 2, 0]], np.int32)
    # Region 5 has 6 of the 8 and 1 of region 2; region 6 has 3 of region 2 and 3 of void.
    predicted_HW = np.array([[5, 5, 5, 6], [5, 5, 6, 6], [5, 5, 6, 6], [0, 0, 6, 0]], np.int32)
    scores = scored(
        (
            truth_HW,
            (Region(id=1, category=0), Region(id=2, category=1)),
            predicted_HW,
            (Region(id=5, category=0), Region(id=6, category=1)),
        )
    )
    # 6 / (8 + 7 - 6) and, without the void, 3 / (4 + 3 - 3).
    assert scores.pq[:2].tolist() == [6 / 9, 3 / 4]
    assert np.isnan(scores.pq[2:]).all()
    average = scores.average(EVERYTHING)
    assert average.pq == pytest.approx((6 / 9 + 3 / 4) / 2)
    assert (average.sq, average.rq, average.num_categories) == (average.pq, 1.0, 2)


def test_the_mean_alone_is_that_of_all_scores():
    quality = PanopticQuality(NUM_CATEGORIES)
    assert np.isnan(quality.mean_pq())
    region = (Region(id=1, category=0),)
    runs = [LabelRuns.of_map(np.array([row], np.int32)) for row in ([1, 1, 1, 0], [1, 1, 1, 1])]
    quality.update(runs[1], region, runs[0], region)
    # 3 of 4; a category with a false positive alone counts as 0, one without anything does not.
    assert quality.mean_pq() == 3 / 4
    quality.update(runs[0], region, runs[0], (Region(id=1, category=2),))
    assert quality.mean_pq() == pytest.approx((0.75 / 1.5 + 0) / 2)


def test_an_overlap_of_exactly_half_is_no_match():
    truth_HW = np.array([[1, 1]], np.int32)
    predicted_HW = np.array([[1, 0]], np.int32)
    region = (Region(id=1, category=0),)
    scores = scored((truth_HW, region, predicted_HW, region))
    assert (scores.num_matched[0], scores.num_spurious[0], scores.num_missed[0]) == (0, 1, 1)


@pytest.mark.parametrize(("num_void", "num_spurious"), [(2, 1), (3, 0)])
def test_a_prediction_on_void_by_more_than_half_is_dropped(num_void, num_spurious):
    truth_HW = np.array([[1] * (4 - num_void) + [0] * num_void], np.int32)
    predicted_HW = np.ones((1, 4), np.int32)
    scores = scored(
        (truth_HW, (Region(id=1, category=0),), predicted_HW, (Region(id=1, category=1),))
    )
    assert scores.num_spurious.tolist() == [0, num_spurious, 0, 0]


def test_a_prediction_on_a_crowd_of_its_category_is_dropped_and_of_another_is_not():
    crowd = (Region(id=1, category=0, iscrowd=True),)
    ones = np.ones((2, 2), np.int32)
    same = scored((ones, crowd, ones, (Region(id=1, category=0),)))
    other = scored((ones, crowd, ones, (Region(id=1, category=1),)))
    assert same.num_spurious.tolist() == [0, 0, 0, 0]
    assert other.num_spurious.tolist() == [0, 1, 0, 0]
    assert same.num_missed.tolist() == other.num_missed.tolist() == [0, 0, 0, 0]


def test_a_category_of_false_positives_counts_as_the_official_script_counts_it():
    ones = np.ones((2, 2), np.int32)
    scores = scored(
        (ones, (Region(id=1, category=0),), ones, (Region(id=1, category=1),)),
        (ones, (Region(id=1, category=2),), ones, (Region(id=1, category=2),)),
    )
    # Category 0 is missed, 1 is spurious, 2 is perfect.
    assert scores.average(EVERYTHING).pq == pytest.approx(1 / 3)
    assert scores.average(scores.has_truth).pq == pytest.approx(1 / 2)
    assert np.isnan(scores.average(np.array([False, False, False, True])).pq)


@pytest.mark.parametrize("seed", range(20))
def test_a_map_against_itself_is_perfect(seed):
    rng = np.random.default_rng(seed)
    map_HW = random_map(rng, (20, 30))
    regions = regions_of(rng, map_HW)
    average = scored((map_HW, regions, map_HW, regions)).average(EVERYTHING)
    assert (average.pq, average.sq, average.rq) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_other_ids_change_nothing(seed):
    rng = np.random.default_rng(seed)
    truth_HW, truth, predicted_HW, predicted = random_pair(rng)
    expected = scored((truth_HW, truth, predicted_HW, predicted))
    found = scored((*renumbered(rng, truth_HW, truth), *renumbered(rng, predicted_HW, predicted)))
    np.testing.assert_array_equal(found.iou_sum, expected.iou_sum)
    np.testing.assert_array_equal(found.num_spurious, expected.num_spurious)
    np.testing.assert_array_equal(found.num_missed, expected.num_missed)


def test_merged_parts_are_the_whole():
    rng = np.random.default_rng(1)
    pairs = [random_pair(rng) for _ in range(30)]
    parts = [PanopticQuality(NUM_CATEGORIES) for _ in range(3)]
    for number, pair in enumerate(pairs):
        parts[number % 3].update(*as_runs(pair))
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    merged, whole = parts[0].compute(), scored(*pairs)
    np.testing.assert_allclose(merged.pq, whole.pq, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(merged.num_matched, whole.num_matched)


def test_scores_do_not_change_when_more_images_come():
    ones, region = np.ones((2, 2), np.int32), (Region(id=1, category=0),)
    quality = PanopticQuality(NUM_CATEGORIES)
    quality.update(*as_runs((ones, region, ones, region)))
    before = quality.compute()
    quality.update(*as_runs((ones, region, ones, region)))
    assert (before.num_matched[0], quality.compute().num_matched[0]) == (1, 2)


def score_files(truth, predicted, vocabulary):
    quality = PanopticQuality(len(vocabulary.categories))
    truth = open_coco_panoptic(truth, truth.with_suffix(""), vocabulary.categories)
    predicted = open_coco_panoptic(predicted, predicted.with_suffix(""), vocabulary.categories)
    for name in truth.image_names:
        one, other = truth.read(name), predicted.read(name)
        quality.update(one.panoptic, one.regions, other.panoptic, other.regions)
    return quality.compute()


def test_figures_are_those_of_the_official_script(shared):
    folder = shared / "data" / "pq_oracle"
    expected = json.loads((folder / "panopticapi_result.json").read_text())
    vocabulary, _ = load_vocabulary([str(folder / "gt.json")])
    scores = score_files(folder / "gt.json", folder / "pred.json", vocabulary)
    is_thing = np.array([category.isthing for category in vocabulary.categories])
    for name, is_wanted in (("All", is_thing | True), ("Things", is_thing), ("Stuff", ~is_thing)):
        average = scores.average(is_wanted)
        for figure in ("pq", "sq", "rq"):
            found = getattr(average, figure)
            assert found == pytest.approx(expected[name][figure], rel=0, abs=1e-9)
        assert average.num_categories == expected[name]["n"]
    for index, category in enumerate(vocabulary.categories):
        for figure in ("pq", "sq", "rq"):
            found = getattr(scores, figure)[index]
            figures = expected["per_class"][str(category.id)]
            assert found == pytest.approx(figures[figure], rel=0, abs=1e-9)


def write_pair(folder, name, maps, regions, categories):
    """Labels in COCO's panoptic format, as `name`.json and `name`/."""
    (folder / name).mkdir()
    images, annotations = [], []
    for number, (map_HW, own) in enumerate(zip(maps, regions, strict=True), start=1):
        height, width = map_HW.shape
        images.append(
            {"id": number, "file_name": f"{number}.jpg", "height": height, "width": width}
        )
        (folder / name / f"{number}.png").write_bytes(encode_panoptic_png(map_HW))
        infos = [
            {
                "id": region.id,
                "category_id": categories[region.category]["id"],
                "iscrowd": int(region.iscrowd),
                "area": int((map_HW == region.id).sum()),
                "bbox": [0, 0, width, height],
            }
            for region in own
        ]
        annotations.append(
            {"image_id": number, "file_name": f"{number}.png", "segments_info": infos}
        )
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(document))
    return folder / f"{name}.json"


def test_figures_are_those_of_hotcoco(tmp_path, capfd):
    categories = [
        {"id": 10 + k, "name": f"c{k}", "isthing": k % 2, "color": [k, k, k]}
        for k in range(NUM_CATEGORIES)
    ]
    rng = np.random.default_rng(3)
    truth_maps, truths, predicted_maps, predictions = zip(
        *(random_pair(rng, (24, 32)) for _ in range(150)), strict=True
    )
    truth = write_pair(tmp_path, "truth", truth_maps, truths, categories)
    predicted = write_pair(tmp_path, "predicted", predicted_maps, predictions, categories)
    expected = pq_compute(str(truth), str(predicted))
    vocabulary, _ = load_vocabulary([str(truth)])
    scores = score_files(truth, predicted, vocabulary)
    assert scores.average(EVERYTHING).pq == pytest.approx(expected["All"]["pq"], abs=1e-9)
    for index, category in enumerate(categories):
        figures = expected["per_class"][category["id"]]
        assert scores.pq[index] == pytest.approx(figures["pq"], abs=1e-9)
        assert scores.num_spurious[index] == figures["fp"]
        assert scores.num_missed[index] == figures["fn"]
