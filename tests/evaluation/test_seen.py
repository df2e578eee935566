import pytest

from odise_cli.evaluation.seen import is_seen_by_exact_name, is_seen_by_normalised_name
from odise_cli.structures import Category

TRAINING = [
    Category(id=1, words=("dining table", "table"), isthing=True, color=(0, 0, 0)),
    Category(id=2, words=("TV",), isthing=True, color=(0, 0, 0)),
]


@pytest.mark.parametrize(
    ("name", "is_exact", "is_normalised"),
    [
        ("dining table", True, True),
        ("diningtable", False, True),
        ("Dining-Table", False, True),
        ("table", False, True),
        ("tv", False, True),
        ("desk", False, False),
        ("tables", False, False),
    ],
)
def test_names_that_were_met_in_training(name, is_exact, is_normalised):
    # A synonym of its own does not make a category seen.
    categories = [Category(id=9, words=(name, "TV"), isthing=True, color=(0, 0, 0))]
    assert is_seen_by_exact_name(categories, TRAINING).tolist() == [is_exact]
    assert is_seen_by_normalised_name(categories, TRAINING).tolist() == [is_normalised]
