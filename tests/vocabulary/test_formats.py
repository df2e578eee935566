import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.errors import UsageError
from odise_cli.vocabulary.entries import Entry, Problems
from odise_cli.vocabulary.formats import parse_file, parse_inline


def parse(text: str) -> list[Entry]:
    problems = Problems()
    entries = parse_file(text, "f.txt", problems)
    assert not problems.errors
    assert not problems.warnings
    return entries


def complaints(text: str) -> Problems:
    problems = Problems()
    parse_file(text, "f.txt", problems)
    return problems


def facts(entry: Entry) -> tuple[object, ...]:
    return entry.id, entry.words, entry.isthing, entry.color


def test_own_text():
    entries = parse(
        "# my kitchen\n"
        "sponge\n"
        "blue sky , sky|stuff id=12 color=#3fa0ff\n"
        "  # indented comment\n"
        "cup, mug | color=#000102 thing\n"
    )
    assert [facts(entry) for entry in entries] == [
        (None, ("sponge",), True, None),
        (12, ("blue sky", "sky"), False, (63, 160, 255)),
        (None, ("cup", "mug"), True, (0, 1, 2)),
    ]
    assert [entry.source for entry in entries] == ["f.txt:2", "f.txt:3", "f.txt:5"]


def test_the_last_line_needs_no_newline():
    assert [entry.name for entry in parse("a\nb")] == ["a", "b"]


def test_openseg_lines():
    entries = parse(
        "0:invalid_class_id\n1:wall,brick wall\n7:tree\ninvalid_class_id:x\n70000:t:b\n"
    )
    assert [facts(entry) for entry in entries] == [
        (1, ("wall", "brick wall"), True, None),
        (7, ("tree",), True, None),
        (70000, ("t:b",), True, None),
    ]


CATS = [
    {"id": 9, "name": "road, route", "isthing": 0, "color": [1, 2, 255], "supercategory": "x"},
    {"id": 70000, "name": "cat", "synonyms": ["kitty", "cat"], "isthing": True},
    {"name": "dog"},
]


@pytest.mark.parametrize("document", [CATS, {"images": [], "categories": CATS}])
def test_coco_json(document: object):
    problems = Problems()
    entries = parse_file("\n " + json.dumps(document), "c.json", problems)
    assert not problems.errors
    assert [facts(entry) for entry in entries] == [
        (9, ("road, route",), False, (1, 2, 255)),
        (70000, ("cat", "kitty"), True, None),
        (None, ("dog",), True, None),
    ]
    assert entries[1].source == "c.json, categories[1]"


def test_inline_list():
    problems = Problems()
    text = "black pickup truck, pickup truck; blue sky, sky | stuff id=4;"
    entries = parse_inline(text, problems)
    assert [facts(entry) for entry in entries] == [
        (None, ("black pickup truck", "pickup truck"), True, None),
        (4, ("blue sky", "sky"), False, None),
    ]
    assert entries[1].source == "--vocab, category 2"
    assert problems == Problems()


def test_empty_lines_are_one_warning():
    assert complaints("a\n\nb\n \n\n").warnings == [
        "f.txt:2: is empty (and 2 more). Expected one category each; empty ones are skipped. "
        "Remove them, or start the line with #."
    ]
    problems = Problems()
    assert len(parse_inline("a;;b", problems)) == 2
    assert problems.warnings[0].startswith("--vocab, category 2: is empty. Expected")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "| stuff",
            "f.txt:2: the category has no name. Expected a name, then its synonyms. "
            "Add a name or remove the category.",
        ),
        (
            "cat,, kitty",
            "f.txt:2: a word between commas is empty. Expected name, synonym, synonym. "
            "Remove the extra comma.",
        ),
        (
            "cat | stuf",
            'f.txt:2: "stuf" after | is unknown. Expected stuff, thing, id=12 or color=#3fa0ff. '
            "Correct or remove it.",
        ),
        (
            "cat | size=3",
            'f.txt:2: "size=3" after | is unknown. Expected stuff, thing, id=12 or color=#3fa0ff. '
            "Correct or remove it.",
        ),
        (
            "cat | stuff thing",
            'f.txt:2: "thing" comes after another of its kind. Expected one of stuff and thing, '
            "one id and one color. Remove one of them.",
        ),
        (
            "cat | color=red",
            "f.txt:2: color red is no colour. Expected # and six hexadecimal digits. "
            "Write for example color=#3fa0ff.",
        ),
        *(
            (
                f"cat | id={bad}",
                f"f.txt:2: id {bad} is no category id. Expected a whole number from 0 to "
                "9223372036854775807. Correct or remove it.",
            )
            for bad in ("-1", "1.5", "x", "", "٣", "9223372036854775808", "9" * 5000)
        ),
    ],
)
def test_bad_lines_of_own_text(line: str, error: str):
    assert complaints(f"# first\n{line}\n").errors == [error]


def test_bad_lines_of_openseg():
    assert complaints("1:cat\ndog\n-3:cow\n4:\n").errors == [
        "f.txt:2: has no id. Expected id:name,synonym as in the lines before. "
        "Write the id and a colon before the name.",
        "f.txt:3: id -3 is no category id. Expected a whole number from 0 to 9223372036854775807. "
        "Correct or remove it.",
        "f.txt:4: the category has no name. Expected a name, then its synonyms. "
        "Add a name or remove the category.",
    ]


@pytest.mark.parametrize(
    ("category", "error"),
    [
        *(
            (
                bad,
                "f.txt, categories[0]: has no name, or a synonym that is no text. Expected for "
                'example {"id": 1, "name": "cat"}. Correct the category.',
            )
            for bad in (3, {}, {"name": 3}, {"name": "a", "synonyms": [1]}, {"id": 1, "nam": "a"})
        ),
        (
            {"name": "cat", "id": -1},
            "f.txt, categories[0]: id -1 is no category id. Expected a whole number from 0 to "
            "9223372036854775807. Correct or remove it.",
        ),
        (
            {"name": "cat", "id": [1]},
            "f.txt, categories[0]: id [1] is no category id. Expected a whole number from 0 to "
            "9223372036854775807. Correct or remove it.",
        ),
        (
            {"name": "cat", "isthing": "yes"},
            'f.txt, categories[0]: isthing is "yes". Expected 0 or 1. Correct it.',
        ),
        *(
            (
                {"name": "cat", "color": bad},
                f"f.txt, categories[0]: color is {json.dumps(bad)}. Expected [red, green, blue], "
                "each 0 to 255. Correct or remove it.",
            )
            for bad in ("#fff", [1, 2], [1, 2, 256], [1, 2, True], [0.5, 0, 0])
        ),
    ],
)
def test_bad_categories_in_json(category: object, error: str):
    assert complaints(json.dumps([category])).errors == [error]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[{"id": 1,\n"name" "cat"}]', r"f\.txt:2: is no JSON, though it starts like it: Expect"),
        ('{"images": []}', r"f\.txt: is JSON without a list of categories\. .* another file\."),
        ('{"categories": {"1": "cat"}}', r"f\.txt: is JSON without a list of categories\."),
        ("[" * 200_000, r"f\.txt: is JSON that cannot be read: maximum recursion"),
        ("[" + "9" * 5000 + "]", r"f\.txt: is JSON that cannot be read: Exceeds the limit"),
    ],
)
def test_json_that_is_no_category_list(text: str, error: str):
    with pytest.raises(UsageError, match=error):
        complaints(text)


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=",|;#[]{}:"),
    min_size=1,
).filter(lambda word: word.strip())


@given(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=6))
def test_whatever_is_written_is_read(categories: list[list[str]]):
    tidy = [tuple(dict.fromkeys(" ".join(w.split()) for w in words)) for words in categories]
    lines = [",".join(words) for words in categories]
    text = "\n".join(f"{line} | id={i}" for i, line in enumerate(lines))
    openseg = "\n".join(f"{i}:{line}" for i, line in enumerate(lines))
    coco = json.dumps([{"name": w[0], "synonyms": w[1:]} for w in categories])
    for entries in (
        parse_file(text, "f", Problems()),
        parse_file(openseg, "f", Problems()),
        parse_file(coco, "f", Problems()),
        parse_inline(";".join(lines), Problems()),
    ):
        assert [entry.words for entry in entries] == tidy


@given(st.text())
def test_no_text_makes_a_traceback(text: str):
    for source in (text, "[" + text, "1:" + text):
        problems = Problems()
        try:
            parse_file(source, "f", problems)
        except UsageError as error:
            problems.errors.append(str(error))
        parse_inline(text, problems)
        for message in problems.errors + problems.warnings:
            assert message.startswith(("f:", "f, categories[", "--vocab, category "))
