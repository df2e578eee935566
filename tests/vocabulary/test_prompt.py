from odise_cli.vocabulary.prompt import BARE, PHOTO, fill_template


def test_a_word_is_put_into_the_template():
    assert fill_template(PHOTO, "cat") == "a photo of a cat."
    assert fill_template(BARE, "cat") == "cat"


def test_braces_inside_a_word_are_left_alone():
    assert fill_template(PHOTO, "{0}") == "a photo of a {0}."
