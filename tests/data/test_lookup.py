"""Which file is meant, wherever it lies."""

import pytest

from data.ingest.lookup import Files
from m3agiqa.errors import InputError


@pytest.fixture
def tree(tmp_path):
    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return write


def test_the_least_deep_is_meant(tree):
    root = tree(set__data_dot_csv="meant", set__old__data_dot_csv="not", set__images__a_dot_png="a")
    files = Files([root])
    assert files.find("data.csv").read_text() == "meant"
    assert files.find("old/data.csv").read_text() == "not"
    assert files.find("images/a.png") == files.find("a.png") == root / "set/images/a.png"


def test_depth_is_counted_from_each_root(tree):
    root = tree(labels__data_dot_csv="meant", deep__down__there__set__data_dot_csv="not")
    assert Files([root / "deep/down/there", root / "labels"]).find("data.csv").read_text() == "meant"


def test_copies_are_one_file_and_different_ones_are_refused(tree):
    root = tree(a__x_dot_png="same", b__x_dot_png="same", a__y_dot_png="one", b__y_dot_png="other")
    assert Files([root]).find("x.png") == root / "a/x.png"
    with pytest.raises(InputError, match=r"data.csv, row 2: .*a/y\.png and .*b/y\.png differ"):
        Files([root]).find("y.png", "data.csv, row 2")


def test_a_root_may_be_a_file(tree):
    root = tree(data_dot_csv="meant", images__a_dot_png="a")
    files = Files([root / "data.csv", root / "images"])
    assert files.find("data.csv").read_text() == "meant"
    with pytest.raises(InputError, match=r"row 2: .*data\.csv does not exist \(nor .*images/b\.png\)"):
        files.find("b.png", "row 2")


def test_half_a_name_is_no_match(tree):
    root = tree(myimages__a_dot_png="a", images__aa_dot_png="a")
    with pytest.raises(InputError, match="no such file"):
        Files([root]).find("images/a.png")


def test_what_tools_leave_is_not_looked_at(tree):
    root = tree(__MACOSX__data_dot_csv="not", _dot_git__data_dot_csv="not", set__deep__data_dot_csv="meant")
    assert Files([root]).find("data.csv").read_text() == "meant"
