import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.evaluation.ranking import ImageRanking

# Few different values: ties are what goes wrong.
qualities = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan")]), max_size=12)


def ranked(qualities, numbers=None, num_kept=2):
    ranking = ImageRanking(num_kept)
    for image in range(len(qualities)) if numbers is None else numbers:
        ranking.update(image, qualities[image])
    return ranking


def test_the_extremes_of_many_images():
    ranking = ranked([0.5, 0.1, 0.9, 0.3, 1.0, 0.2]).compute()
    assert ranking.worst == ((1, 0.1), (5, 0.2))
    assert ranking.best == ((4, 1.0), (2, 0.9))


def test_of_equal_images_the_first_come_first_and_none_is_in_both_lists():
    ranking = ranked([1.0] * 5).compute()
    assert ranking.worst == ((0, 1.0), (1, 1.0))
    assert ranking.best == ((2, 1.0), (3, 1.0))


@pytest.mark.parametrize(
    ("qualities", "worst", "best"),
    [
        ([], [], []),
        ([0.5], [0], []),
        ([0.5, 0.4], [1], [0]),
        ([0.5, 0.4, 0.6], [1, 0], [2]),
        ([float("nan"), 0.4], [1], []),
    ],
)
def test_few_images_are_divided(qualities, worst, best):
    ranking = ranked(qualities).compute()
    assert [image for image, _ in ranking.worst] == worst
    assert [image for image, _ in ranking.best] == best


@given(qualities=qualities, data=st.data())
def test_neither_order_nor_parts_change_the_ranking(qualities, data):
    numbers = data.draw(st.permutations(range(len(qualities))))
    cut = data.draw(st.integers(0, len(numbers)))
    merged = ranked(qualities, numbers[:cut])
    merged.merge(ranked(qualities, numbers[cut:]))
    ranking = merged.compute()
    assert ranking == ranked(qualities).compute()
    # Against a plain sort of everything.
    known = [(quality, image) for image, quality in enumerate(qualities) if quality == quality]
    worst = [image for _, image in sorted(known)[: min(2, (len(known) + 1) // 2)]]
    assert [image for image, _ in ranking.worst] == worst
    rest = sorted((-quality, image) for quality, image in known if image not in worst)
    assert [image for image, _ in ranking.best] == [i for _, i in rest[: min(2, len(known) // 2)]]
