from odise_cli.data.formats import image_suffixes, readable_formats


def test_suffixes_of_photographs_are_read() -> None:
    assert image_suffixes() >= {
        ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".mpo", ".jp2", ".pgm",
    }  # fmt: skip


def test_what_pillow_only_writes_or_recognises_is_not_read() -> None:
    assert image_suffixes().isdisjoint({".pdf", ".mpg", ".h5", ".grib", ".eps", ".ps", ".wmf"})
    assert "EPS" not in readable_formats()
