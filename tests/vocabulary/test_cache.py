import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from odise_cli.vocabulary.cache import TextEmbeddingCache

DIM = 8


def embed(prompts: list[str]) -> NDArray[np.float32]:
    """A prompt's own pseudo-random row: equal prompts, equal rows."""
    seeds = [list(prompt.encode()) or [0] for prompt in prompts]
    rows = [np.random.default_rng([len(s), *s]).standard_normal(DIM) for s in seeds]
    return np.array(rows, dtype=np.float32).reshape(len(prompts), DIM)


class Encoder:
    """`embed`, and what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, prompts: list[str]) -> NDArray[np.float32]:
        self.calls.append(prompts)
        return embed(prompts)


def get(folder: Path, words: list[str], template: str = "a {}.", encoder: str = "clip"):
    """(embeddings, the calls that they took)."""
    compute = Encoder()
    rows = TextEmbeddingCache(folder).get_or_compute(
        words, template=template, encoder=encoder, dim=DIM, compute=compute
    )
    return rows, compute.calls


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_words_are_computed_once_and_read_back_to_the_bit(tmp_path):
    words = ["cat", "dog", "cat", "Cat"]
    first, calls = get(tmp_path, words)
    assert calls == [["a cat.", "a dog.", "a Cat."]]
    assert (first.dtype, first.shape) == (np.float32, (4, DIM))
    np.testing.assert_array_equal(first, embed(["a cat.", "a dog.", "a cat.", "a Cat."]))
    again, calls = get(tmp_path, words[::-1])
    assert calls == []
    np.testing.assert_array_equal(again, first[::-1])


def test_an_edit_of_one_word_computes_one_word(tmp_path):
    words = [f"word {n}" for n in range(500)]
    get(tmp_path, words)
    words[77] = "new"
    rows, calls = get(tmp_path, words)
    assert calls == [["a new."]]
    np.testing.assert_array_equal(rows, embed([f"a {word}." for word in words]))


def test_encoder_and_template_are_part_of_the_key(tmp_path):
    get(tmp_path, ["cat"])
    assert get(tmp_path, ["cat"], template="{}")[1] == [["cat"]]
    assert get(tmp_path, ["cat"], encoder="other")[1] == [["a cat."]]
    assert get(tmp_path, ["cat"])[1] == []


def test_no_words(tmp_path):
    rows, calls = get(tmp_path, [])
    assert rows.shape == (0, DIM)
    assert calls == []
    assert files(tmp_path) == []


@given(words=st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=5))
def test_any_sequence_of_calls_gives_what_the_encoder_gives(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    asked: set[str] = set()
    for each in words:
        rows, calls = get(folder, each)
        np.testing.assert_array_equal(rows, embed([f"a {word}." for word in each]))
        expected = [f"a {word}." for word in dict.fromkeys(each) if word not in asked]
        assert calls == ([expected] if expected else [])
        asked.update(each)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_computed_again_and_replaced(tmp_path, share):
    words = ["cat", "dog", "cow"]
    expected, _ = get(tmp_path, words)
    [path] = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    rows, calls = get(tmp_path, words)
    assert calls == [["a cat.", "a dog.", "a cow."]]
    np.testing.assert_array_equal(rows, expected)
    assert get(tmp_path, words)[1] == []
    assert path.read_bytes() == whole


def test_no_changed_byte_is_trusted(tmp_path):
    expected, _ = get(tmp_path, ["cat", "dog"])
    [path] = files(tmp_path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        rows, calls = get(tmp_path, ["cat", "dog"])
        assert len(calls) == 1
        np.testing.assert_array_equal(rows, expected)
        for other in files(tmp_path):
            other.unlink()


def test_a_damaged_file_does_not_hide_a_whole_one(tmp_path):
    get(tmp_path, ["cat"])
    get(tmp_path, ["cat", "dog"])
    damaged, whole = files(tmp_path)
    damaged.write_bytes(damaged.read_bytes() + b"x")
    rows, calls = get(tmp_path, ["cat", "dog"])
    assert len(calls) == 1
    assert len(calls[0]) == 1
    np.testing.assert_array_equal(rows, embed(["a cat.", "a dog."]))
    assert whole in files(tmp_path)


def test_a_file_where_the_folder_should_be_does_no_harm(tmp_path):
    (tmp_path / "text").write_text("in the way")
    rows, calls = get(tmp_path / "text", ["cat"])
    assert calls == [["a cat."]]
    np.testing.assert_array_equal(rows, embed(["a cat."]))


def test_a_read_only_folder_is_read_and_not_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everything")
    get(tmp_path, ["cat"])
    [path] = files(tmp_path)
    path.parent.chmod(0o500)
    try:
        assert get(tmp_path, ["cat", "dog"])[1] == [["a dog."]]
        path.chmod(0o600)
        path.write_bytes(b"damaged")
        assert get(tmp_path, ["cat"])[1] == [["a cat."]]
    finally:
        path.parent.chmod(0o700)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    # A limit on the size of files makes the write fail half-way, as a full disk does.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write_under_a_limit, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert files(tmp_path) == []


def _write_under_a_limit(folder: Path) -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    words = [f"word {n}" for n in range(1000)]
    rows, _ = get(folder, words)
    np.testing.assert_array_equal(rows, embed([f"a {word}." for word in words]))


def test_many_small_edits_leave_few_files(tmp_path):
    for n in range(150):
        assert get(tmp_path, [f"word {n}"])[1] == [[f"a word {n}."]]
    assert len(files(tmp_path)) <= 64
    words = [f"word {n}" for n in range(150)]
    rows, calls = get(tmp_path, words)
    assert calls == []
    np.testing.assert_array_equal(rows, embed([f"a {word}." for word in words]))


def test_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(tmp_path, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not [path for path in files(tmp_path) if path.suffix != ".pack"]


def _fill(folder: Path, seed: int) -> None:
    """Enough overlapping packs that every process folds those of the others."""
    rng = np.random.default_rng(seed)
    for _ in range(200):
        words = [f"word {n}" for n in rng.integers(400, size=3)]
        rows, _ = get(folder, words)
        np.testing.assert_array_equal(rows, embed([f"a {word}." for word in words]))


def test_twenty_thousand_words_are_read_quickly(tmp_path):
    words = [f"word {n}" for n in range(20_000)]
    wide = np.random.default_rng(0).standard_normal((20_000, 768)).astype(np.float32)
    cache = TextEmbeddingCache(tmp_path)
    settings = {"template": "{}", "encoder": "clip", "dim": 768}
    cache.get_or_compute(words, compute=lambda _: wide, **settings)
    start = time.process_time()
    rows = cache.get_or_compute(words, compute=embed, **settings)
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(rows, wide)
