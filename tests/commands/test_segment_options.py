"""What each option of `odise segment` does to a run."""

import json
import os
import shutil
import socket

import numpy as np
import pytest
import torch
from PIL import Image

from odise_cli.cli.app import main
from odise_cli.commands import result_writers, segment_pipeline
from tests.runs import (
    ALL_OUTPUTS,
    TREE,
    different_share,
    panoptic_maps,
    picture,
    read_json,
    read_lines,
    segment,
    segments_of,
    write_images,
)
from tests.writers.fakes import files_of


def test_image_ids_are_the_integers_of_coco_names(row, flags, tmp_path):
    assert segment(row, *flags, "--shard", "2/4", "--out", tmp_path) == 0
    document = read_json(tmp_path / "panoptic.json")
    assert [image["id"] for image in document["images"]] == [30, 139]
    assert document["annotations"][0]["file_name"] == "000000000030.png"


def test_image_ids_count_the_whole_list_not_the_shard(tree, flags, tmp_path):
    assert segment(tree, *flags, "--shard", "2/2", "--limit", 2, "--out", tmp_path) == 0
    ids = [image["id"] for image in read_json(tmp_path / "panoptic.json")["images"]]
    assert ids == [3, 4]


def test_shards_put_together_are_the_whole_bit_for_bit(row, flags, tmp_path):
    # Batches of 3 in 8 images: 0-2, 3-5, 6-7. Shards end at 2 and 5, in the midst of batches.
    argv = [row, *flags, "--batch-size", 3, "--write", ALL_OUTPUTS]
    assert segment(*argv, "--out", tmp_path / "whole") == 0
    shards = [tmp_path / f"shard{index}" for index in (1, 2, 3)]
    for index, shard in enumerate(shards, start=1):
        assert segment(*argv, "--shard", f"{index}/3", "--out", shard) == 0
    assert [len(read_lines(shard / "manifest.jsonl")) for shard in shards] == [2, 3, 3]
    assert main(["merge", *map(str, shards), "--out", str(tmp_path / "merged"), "--quiet"]) == 0
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")


def test_an_empty_shard_is_a_shard(row, flags, tmp_path):
    argv = [row / "000000000009.png", row / "000000000025.png", *flags]
    assert segment(*argv, "--out", tmp_path / "whole") == 0
    # Two images in three parts: the first part is empty.
    shards = [tmp_path / f"shard{index}" for index in (1, 2, 3)]
    for index, shard in enumerate(shards, start=1):
        assert segment(*argv, "--shard", f"{index}/3", "--out", shard) == 0
    assert (shards[0] / "manifest.jsonl").read_bytes() == b""
    assert main(["merge", *map(str, shards), "--out", str(tmp_path / "merged"), "--quiet"]) == 0
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "whole")


def test_a_part_of_the_list_does_not_shorten_what_a_folder_says_of_it(row, flags, tmp_path):
    assert segment(row, *flags, "--shard", "1/4", "--out", tmp_path / "preds") == 0
    full_list = read_json(tmp_path / "preds" / "run.json")["info"]["images"]
    assert full_list["count"] == 8
    # As with failures.txt: images that the folder knows, by another list.
    part = tmp_path / "list.txt"
    part.write_text(f"{row / '000000000009.png'}\n")
    assert segment("--from-file", part, *flags, "--out", tmp_path / "preds") == 0
    assert read_json(tmp_path / "preds" / "run.json")["info"]["images"] == full_list


def test_a_limit_that_is_lifted_ends_with_the_files_of_one_run(row, flags, tmp_path):
    argv = [row, *flags, "--batch-size", 3, "--write", ALL_OUTPUTS]
    assert segment(*argv, "--out", tmp_path / "whole") == 0
    for limit in (["--limit", 4], ["--shard", "2/2"], []):
        assert segment(*argv, *limit, "--out", tmp_path / "steps") == 0
    assert files_of(tmp_path / "steps") == files_of(tmp_path / "whole")


def test_the_number_of_decoders_and_writers_changes_no_bit(row, flags, tmp_path, monkeypatch):
    argv = [row, *flags, "--batch-size", 3, "--write", ALL_OUTPUTS]
    for threads in (1, 8):
        monkeypatch.setattr(segment_pipeline, "_MAX_DECODERS", threads)
        monkeypatch.setattr(segment_pipeline.os, "cpu_count", lambda: 8)
        monkeypatch.setattr(result_writers, "_NUM_THREADS", threads)
        assert segment(*argv, "--out", tmp_path / str(threads)) == 0
    assert files_of(tmp_path / "1") == files_of(tmp_path / "8")


def test_the_batch_size_changes_next_to_nothing(row, flags, tmp_path):
    for size in (1, 3, 8):
        assert segment(row, *flags, "--batch-size", size, "--out", tmp_path / str(size)) == 0
    assert different_share(tmp_path / "1", tmp_path / "3") <= 0.001
    assert different_share(tmp_path / "1", tmp_path / "8") <= 0.001


def test_the_number_of_processor_threads_changes_next_to_nothing(row, flags, tmp_path):
    num_threads = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert segment(row, *flags, "--limit", 3, "--out", tmp_path / str(threads)) == 0
    torch.set_num_threads(num_threads)
    assert different_share(tmp_path / "1", tmp_path / "2") <= 0.001


def test_a_dry_run_changes_nothing(row, flags, tmp_path, capsys):
    argv = [row, *flags, "--write", "panoptic,overlay", "--out", tmp_path / "preds"]
    assert segment(*argv, "--dry-run", "--json") == 0
    assert not (tmp_path / "preds").exists()
    assert segment(*argv, "--limit", 3) == 0
    before = files_of(tmp_path / "preds")
    assert segment(*argv, "--dry-run", "--json", "--limit", 5) == 0
    assert files_of(tmp_path / "preds") == before
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [first["num_images"], first["num_selected"], first["num_finished"]] == [8, 8, 0]
    assert [second["num_images"], second["num_selected"], second["num_finished"]] == [8, 5, 3]
    assert first["estimated_bytes"] == 4 * second["estimated_bytes"] > 0
    assert first["outputs"] == ["panoptic", "overlay"]


@pytest.mark.parametrize(
    "changed",
    [
        ["--alpha", 1.0],
        ["--beta", 0.0],
        ["--seed", 7],
        ["--overlap-threshold", 0.0],
        ["--object-mask-threshold", 0.4],
        ["--unknown-threshold", 0.4],
    ],
    ids=lambda changed: changed[0],
)
def test_every_knob_reaches_the_result(row, flags, tmp_path, changed):
    argv = [row, *flags, "--write", "segments", "--limit", 2]
    assert segment(*argv, "--out", tmp_path / "as_it_is") == 0
    assert segment(*argv, *changed, "--out", tmp_path / "changed") == 0
    assert segments_of(tmp_path / "changed") != segments_of(tmp_path / "as_it_is")


def test_thresholds_mean_what_their_help_says(row, flags, tmp_path):
    argv = [row, *flags, "--write", "segments", "--limit", 4]
    assert segment(*argv, "--out", tmp_path / "all") == 0
    scores = [line["score"] for line in segments_of(tmp_path / "all")]
    threshold = sorted(scores)[len(scores) // 2]
    assert segment(*argv, "--unknown-threshold", threshold, "--out", tmp_path / "some") == 0
    left = [line["score"] for line in segments_of(tmp_path / "some")]
    # Where stuff has lost its first mask, it comes later among the segments.
    assert sorted(left) == sorted(score for score in scores if score >= threshold)
    assert 0 < len(left) < len(scores)


@pytest.mark.parametrize("flag", ["--unknown-threshold", "--object-mask-threshold"])
def test_nothing_is_as_probable_as_one(row, flags, tmp_path, flag):
    assert segment(row, *flags, flag, 1.0, "--limit", 2, "--out", tmp_path) == 0
    assert not any(ids.any() for ids in panoptic_maps(tmp_path).values())
    document = read_json(tmp_path / "panoptic.json")
    assert [a["segments_info"] for a in document["annotations"]] == [[], []]


def test_words_can_be_made_stuff(row, flags, tmp_path):
    argv = [row, *flags, "--write", "panoptic,instances", "--limit", 4]
    assert segment(*argv, "--stuff", "kitten,Sky", "--out", tmp_path) == 0
    document = read_json(tmp_path / "panoptic.json")
    assert [category["isthing"] for category in document["categories"]] == [0, 0, 0]
    assert read_json(tmp_path / "instances.json") == []
    for annotation in document["annotations"]:
        ids = [info["category_id"] for info in annotation["segments_info"]]
        assert len(ids) == len(set(ids))


def test_vocabularies_add_up(row, small_model, tmp_path):
    (tmp_path / "mine.txt").write_text("ferry | stuff id=7\n")
    vocabs = ["--vocab", "cat; dog", "--vocab", tmp_path / "mine.txt", "--vocab", "voc21"]
    out = tmp_path / "preds"
    argv = [row, *vocabs, "--model", small_model, "--limit", 1, "--quiet", "--out", out]
    assert segment(*argv) == 0
    categories = read_json(out / "panoptic.json")["categories"]
    names = [category["name"] for category in categories]
    assert names[:3] == ["cat", "dog", "ferry"]
    assert len(names) == 3 + 21 - 2
    assert {c["name"]: (c["id"], c["isthing"]) for c in categories}["ferry"] == (7, 0)
    ids = [category["id"] for category in categories]
    assert len(set(ids)) == len(ids)


def test_categories_beyond_255_and_ids_of_70000_do_not_wrap(row, small_model, tmp_path):
    words = [f"thing number {number}" for number in range(300)]

    def run(name):
        lines = [f"{word} | id={70_000 - 200 * n}" for n, word in enumerate(words)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        argv = ["--vocab", tmp_path / f"{name}.txt", "--model", small_model, "--quiet"]
        argv += ["--write", ALL_OUTPUTS, "--limit", 2, "--out", tmp_path / name]
        assert segment(row, *argv) == 0
        return segments_of(tmp_path / name)

    lines = run("first")
    found = {line["category"] for line in lines}
    # What was found moves to the end of the list, where indices are larger than a byte.
    words.sort(key=lambda word: word in found)
    moved = run("second")
    keys = ("image", "category", "bbox", "area", "segmentation")
    facts = [[{key: line[key] for key in keys} for line in found] for found in (lines, moved)]
    assert facts[0] == facts[1]
    index_of = {word: index for index, word in enumerate(words)}
    assert all(index_of[line["category"]] > 255 for line in moved)
    ids = {word: 70_000 - 200 * index for word, index in index_of.items()}
    assert all(line["category_id"] == ids[line["category"]] for line in moved)
    labels = read_json(tmp_path / "second" / "semantic" / "labels.json")["categories"]
    assert [labels[index]["id"] for index in index_of.values()] == list(ids.values())
    semantic = [
        np.asarray(Image.open(path)) for path in (tmp_path / "second" / "semantic").glob("*.png")
    ]
    assert max(indices.max() for indices in semantic) > 255
    instances = read_json(tmp_path / "second" / "instances.json")
    assert {instance["category_id"] for instance in instances} <= set(ids.values())


def test_more_categories_than_16_bits_hold_are_refused_before_loading(row, tmp_path, capsys):
    (tmp_path / "huge.txt").write_text("\n".join(f"word {number}" for number in range(65_536)))
    (tmp_path / "no_head.pth").write_bytes(b"this would be refused first if it were read")
    argv = [row, "--vocab", tmp_path / "huge.txt", "--model", "tiny", "--out", tmp_path / "preds"]
    argv += ["--weights", tmp_path / "no_head.pth"]
    for extra in ([], ["--dry-run"]):
        assert segment(*argv, *extra, "--write", "panoptic,semantic") == 2
        message = "error: --write semantic: the vocabulary has 65,536 categories. A 16-bit map "
        assert message in capsys.readouterr().err
    assert segment(*argv, "--dry-run", "--quiet") == 0


def test_sources_of_every_kind_come_together_once(tree, flags, tmp_path, capsys):
    (tmp_path / "list").write_bytes(b"\0".join(os.fsencode(tree / name) for name in TREE[1:3]))
    os.link(tree / "top.jpg", tmp_path / "linked")
    sources = [tree / "b", f"{tree}/**/*.jpg", tree / "b" / "2.png", "--from-file"]
    argv = [*sources, tmp_path / "list", "-0", *flags, "--out", tmp_path / "preds", "--json"]
    assert segment(*argv) == 0
    assert [line["name"] for line in read_lines(tmp_path / "preds" / "manifest.jsonl")] == TREE


def test_results_inside_the_sources_are_no_sources(row, flags, tmp_path):
    images = write_images(tmp_path / "imgs", ["1.png", "sub/2.png"])
    argv = [images, *flags, "--write", "panoptic,semantic,overlay"]
    for out in (images, images / "preds", images / "sub" / "preds", images / "preds", images):
        assert segment(*argv, "--out", out) == 0
        names = [line["name"] for line in read_lines(out / "manifest.jsonl")]
        assert names == ["1.png", "sub/2.png"]


def test_a_relative_output_folder_lies_in_the_working_folder(row, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert segment(row, *flags, "--limit", 1, "--out", "new/preds") == 0
    assert (tmp_path / "new" / "preds" / "panoptic.json").is_file()
    assert segment(row, *flags, "--limit", 1, "--out", tmp_path / "new" / "preds") == 0


def test_a_settings_file_is_as_good_as_flags(row, flags, preds, tmp_path):
    (tmp_path / "settings.toml").write_text('limit = 1\nwrite = ["segments"]\nseed = 7\n')
    argv = [row, *flags, "--config", tmp_path / "settings.toml", "--out", tmp_path / "preds"]
    assert segment(*argv, "--seed", 42) == 0
    settings = read_json(tmp_path / "preds" / "run.json")["settings"]
    assert (settings["write"], settings["seed"]) == (["segments"], 42)
    assert len(read_lines(tmp_path / "preds" / "manifest.jsonl")) == 1


def test_offline_never_reaches_for_the_network(row, small_model, tmp_path, monkeypatch, capsys):
    def connect(*_):
        pytest.fail("reached for the network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    argv = [row, "--vocab", "cat", "--offline", "--quiet", "--limit", 1, "--out", tmp_path / "a"]
    assert segment(*argv, "--model", small_model) == 0
    model = shutil.copytree(small_model, tmp_path / "model")
    shutil.rmtree(model / "unet")
    config = read_json(model / "odise.json") | {"diffusion": "somebody/diffusion"}
    (model / "odise.json").write_text(json.dumps(config))
    argv[-1] = tmp_path / "b"
    assert segment(*argv, "--model", model) == 5
    assert "somebody/diffusion" in capsys.readouterr().err


def test_grey_and_small_images_are_done_too(small_model, flags, tmp_path):
    images = tmp_path / "imgs"
    images.mkdir()
    Image.fromarray(picture(0)[..., 0]).save(images / "grey.png")
    Image.fromarray(picture(0)[:1, :1]).save(images / "one.png")
    Image.fromarray(picture(0, (8, 400))).save(images / "panorama.png")
    out = tmp_path / "preds"
    assert segment(images, *flags, "--write", ALL_OUTPUTS, "--batch-size", 3, "--out", out) == 0
    sizes = {line["name"]: line["size"] for line in read_lines(out / "manifest.jsonl")}
    assert sizes == {"grey.png": [48, 64], "one.png": [1, 1], "panorama.png": [8, 400]}
