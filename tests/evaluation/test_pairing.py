import pytest

from odise_cli.errors import UsageError
from odise_cli.evaluation.pairing import check_same_categories, pair_images
from odise_cli.structures import Category


def paired(names, predicted_names):
    return pair_images(names, predicted_names, dataset="voc21", folder="preds")


def category(id_, name, *synonyms, isthing=True):
    return Category(id=id_, words=(name, *synonyms), isthing=isthing, color=(0, 0, 0))


def check(expected, found):
    check_same_categories(expected, found, dataset="voc21", folder="preds")


def test_suffix_and_folders_do_not_matter_where_names_differ():
    pairing = paired(["2.png", "1.png"], ["val/1.jpg", "val/2.jpg", "val/3.jpg"])
    assert tuple(pair.predicted_name for pair in pairing.pairs) == ("val/2.jpg", "val/1.jpg")
    assert pairing.unused_names == ("val/3.jpg",)


def test_dots_in_a_name_are_no_suffix():
    assert paired(["a.b.png", "a.c.png"], ["a.b.jpg", "a.c.jpg"]).unused_names == ()


def test_folders_matter_where_the_dataset_has_one_name_twice():
    pairing = paired(["a/1.png", "b/1.png"], ["b/1.jpg", "a/1.jpg"])
    assert tuple(pair.predicted_name for pair in pairing.pairs) == ("a/1.jpg", "b/1.jpg")


def test_images_without_a_prediction_are_counted_and_named():
    message = (
        r"^preds: has no prediction for 2 of 3 images of voc21, the first is 'b\.jpg' \(there is "
        r"one for 'a\.jpg'\)\. Expected one for every image\."
    )
    with pytest.raises(UsageError, match=message):
        paired(["a.jpg", "b.jpg", "c.jpg"], ["a.jpg"])


def test_no_predictions_at_all():
    with pytest.raises(UsageError, match=r"for 1 of 1 images of voc21, the first is 'a\.jpg'\."):
        paired(["a.jpg"], [])


def test_two_predictions_for_an_image_are_named():
    message = r"^preds: 'x/a\.jpg' and 'y/a\.jpg' are both predictions for 'a\.jpg' of voc21\."
    with pytest.raises(UsageError, match=message):
        paired(["a.jpg"], ["x/a.jpg", "y/a.jpg"])


def test_two_predictions_for_an_image_that_is_not_scored_do_not_matter():
    assert paired(["a.jpg"], ["a.jpg", "x/b.jpg", "y/b.jpg"]).unused_names == ("x/b.jpg", "y/b.jpg")


def test_order_and_synonyms_may_differ():
    check(
        [category(1, "cat"), category(2, "dog")], [category(2, "dog", "puppy"), category(1, "cat")]
    )


def test_the_first_differences_are_named():
    expected = [category(number, f"word {number}") for number in range(6)]
    found = [
        category(0, "other"),
        category(1, "word 1", isthing=False),
        category(9, "word 9"),
    ]
    message = (
        r"^preds: made with another vocabulary than that of voc21: id 0 is 'other' \(thing\) "
        r"instead of 'word 0' \(thing\); id 1 is 'word 1' \(stuff\) instead of 'word 1' "
        r"\(thing\); id 2 is \(none\) instead of 'word 2' \(thing\); and 4 more\."
    )
    with pytest.raises(UsageError, match=message):
        check(expected, found)


def test_a_category_too_many_is_named():
    with pytest.raises(UsageError, match=r"id 2 is 'dog' \(thing\) instead of \(none\)\. Expected"):
        check([category(1, "cat")], [category(1, "cat"), category(2, "dog")])
