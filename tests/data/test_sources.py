import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.sources import SourceList, find_images, listed_images
from odise_cli.errors import NoImagesError, UsageError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes empty files below the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


def names(found: SourceList) -> list[str]:
    return [str(path.relative_to(found.root)) for path in found.paths]


# --- folders


def test_folder_is_read_recursively_in_natural_order(
    tmp_path: Path, tree: Callable[..., None]
) -> None:
    tree("imgs/img10.jpg", "imgs/img2.JPG", "imgs/b/1.png", "imgs/a b/x.tif", "imgs/a/x.webp")
    found = find_images(["imgs"])
    assert found.root == tmp_path / "imgs"
    assert names(found) == ["a/x.webp", "a b/x.tif", "b/1.png", "img2.JPG", "img10.jpg"]


def test_natural_order_of_numbers(tree: Callable[..., None]) -> None:
    in_order = ["1.jpg", "01.jpg", "2a3.jpg", "2a10.jpg", "010.jpg", "100.jpg", "a.jpg"]
    tree(*in_order)
    assert sorted(names(find_images(["."]))[:2]) == ["01.jpg", "1.jpg"]
    assert names(find_images(["."]))[2:] == in_order[2:]


def test_other_files_are_skipped_and_counted_hidden_ones_only_skipped(
    tree: Callable[..., None],
) -> None:
    tree(
        "a.jpg", "notes.txt", "sub/clip.mpg", "jpg", ".hidden.jpg", ".cache/b.jpg", "sub/.DS_Store"
    )
    found = find_images(["."])
    assert names(found) == ["a.jpg"]
    assert found.num_skipped_files == 3


def test_hidden_folder_that_is_named_is_read(tree: Callable[..., None]) -> None:
    tree(".cache/b.jpg")
    assert names(find_images([".cache"])) == ["b.jpg"]


def test_links_to_folders_are_followed_once(tree: Callable[..., None]) -> None:
    tree("imgs/z/a.jpg", "elsewhere/b.jpg")
    Path("imgs/a_link").symlink_to("z")  # sorts before its target, which wins all the same
    Path("imgs/out").symlink_to("../elsewhere")
    Path("imgs/z/up").symlink_to("..")
    Path("imgs/z/self").symlink_to("self")
    found = find_images(["imgs"])
    assert names(found) == ["out/b.jpg", "z/a.jpg"]
    assert found.num_skipped_files == 1  # `self`, a link to nowhere


def test_many_links_between_folders_end(tree: Callable[..., None]) -> None:
    # Every folder links to every other: without memory there are more ways than atoms.
    for i in range(12):
        tree(f"imgs/d{i}/{i}.jpg")
        for j in range(12):
            Path(f"imgs/d{i}/to{j}").symlink_to(f"../d{j}")
    in_order = [f"d{i}/{i}.jpg" for i in range(12)]
    assert names(find_images(["imgs"])) == in_order
    assert names(find_images(["imgs/**/*.jpg"])) == in_order


def test_links_to_files_are_files_of_their_own(tree: Callable[..., None]) -> None:
    tree("blobs/1.jpg")
    Path("imgs").mkdir()
    for name in ("a.jpg", "b.jpg", "broken.jpg"):
        Path("imgs", name).symlink_to("../blobs/1.jpg" if name != "broken.jpg" else "nowhere")
    assert names(find_images(["imgs"])) == ["a.jpg", "b.jpg", "broken.jpg"]


def test_folder_named_like_an_image(tree: Callable[..., None]) -> None:
    tree("imgs/x.jpg/y.jpg")
    assert names(find_images(["imgs"])) == ["x.jpg/y.jpg"]
    assert names(find_images(["imgs/x.jpg"])) == ["y.jpg"]


def test_folder_that_cannot_be_listed_is_kept_to_become_a_failure(
    open_folder: Path, locked: Callable[[Path], None]
) -> None:
    for name in ("a.jpg", "secret/b.jpg"):
        (open_folder / name).parent.mkdir(exist_ok=True)
        (open_folder / name).touch()
    locked(open_folder / "secret")
    assert names(find_images([str(open_folder)])) == ["a.jpg", "secret"]
    with pytest.raises(NoImagesError, match=r"secret' *; .*/secret cannot be listed\. Expected"):
        find_images([str(open_folder / "secret")])


# --- output folders


@pytest.mark.parametrize("source", [".", "*", "**/*", "**", "./**/*.*"])
@pytest.mark.parametrize("excluded", ["preds", "x/../preds", "link/preds"])
def test_results_of_the_run_are_no_sources(
    tree: Callable[..., None], source: str, excluded: str
) -> None:
    tree("a.jpg", "sub/b.jpg", "preds/1.png", "preds/sub/2.png")
    Path("link").symlink_to(".")
    assert names(find_images([source], excluded=[Path(excluded)])) == ["a.jpg", "sub/b.jpg"]
    assert names(find_images(["*/*"], excluded=[Path(excluded)]))[-1] == "sub/b.jpg"
    both = ["a.jpg", "preds/1.png"]  # what is named counts
    assert names(find_images(["a.jpg", "preds/1.png"], excluded=[Path(excluded)])) == both


def test_source_of_which_everything_is_excluded(tree: Callable[..., None]) -> None:
    tree("imgs/a.jpg")
    for source in ("imgs", "imgs/*.jpg", "."):
        with pytest.raises(
            NoImagesError,
            match=r"in '.*'; /.*/imgs is not searched, since results are written there\. Expected",
        ):
            find_images([source], excluded=[Path("imgs")])


def test_excluded_folders_need_not_exist(tree: Callable[..., None]) -> None:
    tree("a.jpg")
    assert names(find_images(["."], excluded=[Path("nope")])) == ["a.jpg"]


# --- globs


@pytest.mark.parametrize(
    ("pattern", "root", "expected"),
    [
        ("imgs/*.jpg", "imgs", ["a.jpg"]),
        ("imgs/**/*.jpg", "imgs", ["a.jpg", "s/b.jpg", "s/t/c.jpg"]),
        ("imgs/**", "imgs", ["a.jpg", "s/b.jpg", "s/d.png", "s/t/c.jpg"]),
        ("imgs/**/t/*", "imgs", ["s/t/c.jpg"]),
        ("imgs/s/**/[bc].jpg", "imgs/s", ["b.jpg", "t/c.jpg"]),
        ("imgs/?/*.png", "imgs", ["s/d.png"]),
        ("i*/a.jpg", ".", ["imgs/a.jpg"]),
        ("imgs/*", "imgs", ["a.jpg", "s/b.jpg", "s/d.png", "s/t/c.jpg"]),  # s is read whole
        ("imgs/.h*/*", "imgs", [".h/e.jpg"]),
    ],
)
def test_glob(
    tmp_path: Path, tree: Callable[..., None], pattern: str, root: str, expected: list[str]
) -> None:
    tree("imgs/a.jpg", "imgs/s/b.jpg", "imgs/s/d.png", "imgs/s/t/c.jpg", "imgs/.h/e.jpg")
    found = find_images([pattern])
    assert found.root == tmp_path / root
    assert names(found) == expected
    assert find_images([f"{tmp_path}/{pattern}"]) == found


def test_glob_skips_and_counts_other_files_once(tree: Callable[..., None]) -> None:
    tree("imgs/a.jpg", "imgs/a.txt")
    assert find_images(["imgs/*", "imgs/a.*", "imgs"]).num_skipped_files == 1


def test_names_with_wildcard_characters_in_them(tree: Callable[..., None]) -> None:
    tree("photo[1].jpg", "photo1.jpg", "trip [2020]/a.jpg", "trip [2020]/b.png")
    assert names(find_images(["photo[1].jpg"])) == ["photo[1].jpg"]
    assert names(find_images(["trip [2020]/*.jpg"])) == ["a.jpg"]


# --- lists


def test_list_file(tmp_path: Path, tree: Callable[..., None]) -> None:
    tree("a/1.jpg", "b/2.jpg", "b/sub/3.jpg", " c .jpg")
    Path("list.txt").write_bytes(b"\xef\xbb\xbfa/1.jpg\r\n\r\n  \nb\n c .jpg")
    found = find_images([], from_file="list.txt")
    assert found.root == tmp_path
    assert names(found) == [" c .jpg", "a/1.jpg", "b/2.jpg", "b/sub/3.jpg"]


def test_list_adds_to_the_other_sources(tree: Callable[..., None]) -> None:
    tree("a/1.jpg", "b/2.jpg")
    found = find_images(["a"], from_file="-", stdin=io.BytesIO(b"b/2.jpg\na/1.jpg\n"))
    assert names(found) == ["a/1.jpg", "b/2.jpg"]


def test_null_separated_standard_input(
    tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("a\nb.jpg", "c.jpg\r")
    data = b"a\nb.jpg\0c.jpg\r\0"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    found = find_images([], from_file="-", null_separated=True)
    assert names(found) == ["a\nb.jpg", "c.jpg\r"]


def test_list_entries_are_taken_literally(tree: Callable[..., None]) -> None:
    tree("photo1.jpg")
    found = find_images([], from_file="-", stdin=io.BytesIO(b"photo[1].jpg\n*.jpg\n"))
    assert names(found) == ["*.jpg", "photo[1].jpg"]


def test_list_of_bytes_that_are_not_utf_8(tree: Callable[..., None]) -> None:
    raw = b"caf\xe9.jpg"
    tree(os.fsdecode(raw))
    found = find_images([], from_file="-", stdin=io.BytesIO(raw))
    assert [os.fsencode(path.name) for path in found.paths] == [raw]
    assert find_images(["."]).paths == found.paths


def test_list_that_needs_minus_zero() -> None:
    with pytest.raises(UsageError, match=r"--from-file: - holds NUL bytes\. .* Add -0"):
        find_images([], from_file="-", stdin=io.BytesIO(b"a.jpg\0b.jpg\0"))


@pytest.mark.parametrize(
    ("name", "problem"), [("nope.txt", "No such file or directory"), ("dir", "Is a directory")]
)
def test_list_that_cannot_be_read(tree: Callable[..., None], name: str, problem: str) -> None:
    tree("dir/a.jpg")
    with pytest.raises(UsageError, match=rf"--from-file: {name} cannot be read \({problem}\)"):
        find_images([], from_file=name)


# --- named files


def test_named_files_are_kept_whatever_they_are(tree: Callable[..., None]) -> None:
    tree("notes.txt", "photo")
    found = find_images(["notes.txt", "photo", "missing.jpg", "no/such/folder/x.png"])
    assert names(found) == ["missing.jpg", "no/such/folder/x.png", "notes.txt", "photo"]
    assert found.num_skipped_files == 0


def test_missing_folder_beside_others_is_kept_to_become_a_failure(
    tmp_path: Path, tree: Callable[..., None]
) -> None:
    tree("cam1/a.jpg")
    found = find_images(["cam1", "cam2", "cam3/*.jpg"])
    assert found.root == tmp_path
    assert names(found) == ["cam1/a.jpg", "cam2", "cam3"]


def test_missing_folder_below_which_a_file_is_named(tree: Callable[..., None]) -> None:
    tree("other")
    found = find_images(["cam/*", "cam/x.jpg"])
    assert names(found) == ["cam", "cam/x.jpg"]


def test_name_that_is_too_long_is_kept(tree: Callable[..., None]) -> None:
    long_name = "9" * 5000 + ".jpg"
    assert names(find_images([long_name])) == [long_name]


def test_root_of_a_file_is_its_folder(tmp_path: Path, tree: Callable[..., None]) -> None:
    tree("a/b/1.jpg", "a/c/2.jpg")
    assert find_images(["a/b/1.jpg"]).root == tmp_path / "a/b"
    assert find_images(["a/b/1.jpg", "a/c/2.jpg"]).root == tmp_path / "a"
    assert find_images(["a/b", "a/c/*.jpg"]).root == tmp_path / "a"
    assert find_images(["a", "a/c/2.jpg"]).root == tmp_path / "a"


# --- duplicates


def test_the_same_file_by_several_ways_is_listed_once(
    tmp_path: Path, tree: Callable[..., None]
) -> None:
    tree("imgs/a.jpg", "imgs/sub/b.jpg")
    Path("link").symlink_to("imgs")
    Path("deep").symlink_to("imgs/sub")
    sources = ["imgs", "imgs/", "./imgs//a.jpg", "imgs/sub/../a.jpg", "deep/../a.jpg", "imgs/*"]
    sources += ["link/a.jpg", "link", "imgs/sub/..", "imgs/**/*.jpg", f"{tmp_path}/imgs/a.jpg"]
    for order in (sources, ["imgs", *sources[::-1]]):
        found = find_images(order, from_file="-", stdin=io.BytesIO(b"imgs/a.jpg\nimgs\n"))
        assert names(found) == ["imgs/a.jpg", "imgs/sub/b.jpg"]
        assert found.root == tmp_path


def test_equal_names_in_two_folders_stay_apart(tree: Callable[..., None]) -> None:
    tree("a/x.jpg", "b/x.jpg")
    assert names(find_images(["a", "b"])) == ["a/x.jpg", "b/x.jpg"]


# --- nothing


def test_no_images(tree: Callable[..., None]) -> None:
    tree("empty/notes.txt", "empty/sub/data.csv")
    with pytest.raises(
        NoImagesError,
        match=r"SOURCES: no image was found in 'empty', 'nope', '\*\.png'; "
        r".*/nope does not exist; 2 other files were skipped\. Expected files that end in \.jpg",
    ):
        find_images(["empty", "nope", "*.png"])


def test_no_images_in_a_long_list() -> None:
    entries = "\n".join(f"f{i}" for i in range(2000)).encode()
    with pytest.raises(NoImagesError, match=r"'f4', 1,995 more; .*/f4 does not exist\. Expected"):
        find_images([], from_file="-", stdin=io.BytesIO(entries))


def test_empty_list() -> None:
    with pytest.raises(NoImagesError, match="no image was found in an empty list"):
        find_images([], from_file="-", stdin=io.BytesIO(b"\n\n"))


def test_empty_argument_is_not_the_current_folder(tree: Callable[..., None]) -> None:
    tree("a.jpg")
    with pytest.raises(UsageError, match=r"SOURCES: an empty path was given\. .*unset variable"):
        find_images([""])


# --- properties


@given(
    order=st.permutations(["a", "a/1.jpg", "a/*.jpg", "b/**", "a/../b/2.png", "b/s"]),
    num_sources=st.integers(1, 6),
)
def test_order_of_sources_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], num_sources: int
) -> None:
    top = tmp_path_factory.getbasetemp() / "order_of_sources"
    for name in ("a/1.jpg", "a/x/3.jpg", "b/2.png", "b/s/10.jpg", "b/s/9.jpg"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    sources = [f"{top}/{source}" for source in order[:num_sources]]
    assert find_images(sources) == find_images(sorted(sources))


def test_images_that_somebody_else_has_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = listed_images(Path("imgs"), ["b.jpg", "a/c.jpg"], image_ids=[5, 3])
    assert images.root == tmp_path / "imgs"
    assert images.paths == (tmp_path / "imgs/b.jpg", tmp_path / "imgs/a/c.jpg")
    assert (images.image_ids, images.num_skipped_files) == ((5, 3), 0)
    assert listed_images(tmp_path, ["b.jpg"]).image_ids is None
