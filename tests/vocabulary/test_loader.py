import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from odise_cli.errors import UsageError
from odise_cli.structures import Category
from odise_cli.vocabulary.colors import automatic_color
from odise_cli.vocabulary.loader import lint_word_list, load_vocabulary


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ids(*specs: str) -> dict[str, int]:
    return {c.name: c.id for c in load_vocabulary(specs)[0].categories}


def test_a_list_becomes_categories_with_ids_and_colors():
    vocabulary, warnings = load_vocabulary(
        ["black pickup truck, pickup truck; blue sky, sky|stuff"]
    )
    assert vocabulary.categories == (
        Category(
            id=1,
            words=("black pickup truck", "pickup truck"),
            isthing=True,
            color=automatic_color(1),
        ),
        Category(id=2, words=("blue sky", "sky"), isthing=False, color=automatic_color(2)),
    )
    assert vocabulary.word_sources == ("--vocab, category 1",) * 2 + ("--vocab, category 2",) * 2
    assert warnings == ()


def test_written_ids_stay_and_the_others_follow_the_largest():
    Path("f.txt").write_text("a\nb | id=7\nc\nd | id=0\n")
    assert ids("f.txt") == {"a": 8, "b": 7, "c": 9, "d": 0}
    assert ids("x; y", "f.txt") == {"x": 8, "y": 9, "a": 10, "b": 7, "c": 11, "d": 0}
    assert ids("x") == {"x": 1}
    assert ids("x | id=4000000000000", "y")["y"] == 4_000_000_000_001


def test_additions_to_a_bundled_set_come_after_it():
    vocabulary, warnings = load_vocabulary(["black pickup truck; sponge", "ade150"])
    assert {c.name: c.id for c in vocabulary.categories[:2]} == {
        "black pickup truck": 150,
        "sponge": 151,
    }
    assert [c.id for c in vocabulary.categories[2:]] == list(range(150))
    assert warnings == ()


def test_a_name_that_is_there_already_adds_its_words():
    Path("f.txt").write_text("# x\nrunabout | stuff\ncar, pickup, cars | stuff id=3\nsky, Car\n")
    vocabulary, warnings = load_vocabulary(["ade150", "f.txt"])
    car = vocabulary.categories[20]
    assert (car.id, car.words, car.isthing) == (20, ("car", "automobile", "cars", "pickup"), True)
    sources = dict(zip(vocabulary.words, vocabulary.word_sources, strict=True))
    assert (sources["cars"], sources["pickup"]) == ("ade150.txt:24", "f.txt:3")
    assert [c.name for c in vocabulary.categories[150:]] == ["runabout"]
    assert warnings == (
        'f.txt:3: "car" is a category of ade150.txt:24 too (and 1 more). Names must differ. '
        "Its words were added there.",
        'f.txt:4: "car" stands in two categories (also in ade150.txt:24). '
        "Both get the same score for it. Remove it from one of them.",
    )


def test_an_id_that_is_taken_is_replaced():
    vocabulary, warnings = load_vocabulary(["a|id=1; b|id=5", "c|id=1; d|id=2; e|id=5"])
    assert {c.name: c.id for c in vocabulary.categories} == {"a": 1, "b": 5, "c": 6, "d": 2, "e": 7}
    assert warnings == (
        '--vocab, category 1: id 1 of "c" is taken by an earlier vocabulary (and 1 more). '
        "Ids must differ. New ones were given.",
    )


def test_sets_add_up_without_losing_a_word():
    both = load_vocabulary(["ade847", "lvis1203"])[0]
    single = [load_vocabulary([name])[0] for name in ("ade847", "lvis1203")]
    assert set(both.words) == set(single[0].words) | set(single[1].words)
    assert both.categories[0] == single[0].categories[0]
    every_id = [c.id for c in both.categories]
    assert len(set(every_id)) == len(every_id)


def test_one_set_twice_is_that_set():
    once, twice = load_vocabulary(["coco133"])[0], load_vocabulary(["coco133", "coco133"])[0]
    assert once.sha256 == twice.sha256


def test_bundled_sets_are_not_complained_about_in_every_run():
    assert load_vocabulary(["ade847"])[1] == ()
    warnings = lint_word_list("ade847")
    assert (
        'ade847.txt:196: "bag" is the name of two categories (also in ade847.txt:119). '
        "Only their ids tell them apart. Give one of them a more specific name."
    ) in warnings
    Path("copy.txt").write_text("a, x\nb, x\n\nc\n")
    assert load_vocabulary(["copy.txt"])[1] == lint_word_list("copy.txt")
    assert len(lint_word_list("copy.txt")) == 2


def test_stuff_marks_every_category_with_the_word():
    vocabulary, _ = load_vocabulary(
        ["blue sky, sky; Grass; cat; night sky, sky"], stuff=["sky, grass", "cat"]
    )
    assert [c.isthing for c in vocabulary.categories] == [False] * 4
    vocabulary, _ = load_vocabulary(["sky | stuff; cat; dog"], stuff=["cat"])
    assert [c.isthing for c in vocabulary.categories] == [False, False, True]


@pytest.mark.parametrize(
    ("word", "advice"), [("gras", 'Did you mean "Grass"?'), ("zzz", "Correct or remove it.")]
)
def test_stuff_that_is_unknown_is_an_error(word: str, advice: str):
    with pytest.raises(UsageError) as caught:
        load_vocabulary(["Grass; cat"], stuff=[f"cat,{word}"])
    assert str(caught.value) == (
        f'--stuff: "{word}" is in no category. Expected words of the vocabulary. {advice}'
    )


@pytest.fixture
def own_heap() -> Iterator[None]:
    """The garbage collector does not walk through what other tests have left in this process."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_fifty_thousand_lines_are_read_in_two_seconds(own_heap):
    Path("large.txt").write_text("".join(f"thing {n}, synonym {n}\n" for n in range(50_000)))
    start = time.process_time()
    vocabulary, warnings = load_vocabulary(["large.txt"], stuff=["synonym 49999"])
    last = vocabulary.categories[-1]
    assert len(vocabulary.word_categories) == 100_000
    assert len(vocabulary.sha256) == 64
    assert time.process_time() - start < 2
    assert (last.id, last.words, last.isthing) == (
        50_000,
        ("thing 49999", "synonym 49999"),
        False,
    )
    assert warnings == ()


def test_more_than_65535_categories_do_not_wrap():
    Path("huge.txt").write_text("".join(f"{n}:thing {n}\n" for n in range(70_000)))
    vocabulary, _ = load_vocabulary(["huge.txt"])
    assert [c.id for c in vocabulary.categories] == list(range(70_000))
    assert vocabulary.word_categories[-1] == 69_999
    assert len({c.color for c in vocabulary.categories}) == 70_000
