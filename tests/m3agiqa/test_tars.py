"""Samples in tars as webdataset has them: their images, prompts and columns, and what is left out."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa.errors import InputError
from m3agiqa.tars import Name, from_tars, name_of
from m3agiqa.unpacked import Unpacked
from tests.packed import tar


@pytest.fixture
def found(tmp_path):
    """What is in tars of these files, with their columns as one says."""

    def found(*shards: dict[str, bytes], **columns: str):
        tars = {f"{n}.tar": tar(tmp_path / f"{n}.tar", shard) for n, shard in enumerate(shards)}
        return from_tars(tars, Unpacked(tmp_path / "unpacked"), **columns)

    return found


def said(images) -> list[tuple]:
    return [(each.name, each.path.read_bytes(), each.prompt, each.columns) for each in images]


def test_a_sample_is_the_files_of_a_key(found):
    values = {"prompt": "not this one", "seed": 7, "at": {"x": [1, None]}, "nan": float("nan")}
    shard = {
        "a/1.jpg": b"one",
        "b.JPG": b"two",
        "a/1.txt": b" a red cat\n",
        "a/1.json": json.dumps(values).encode(),
        "a/1.cls": b"3",
        "b.json": b'{"caption": "a blue cat"}',
        "./c.png": b"three",
    }
    images, others = found(shard, {"a/1.jpg": b"four"})
    columns = {"prompt": "not this one", "seed": 7, "at": {"x": [1, None]}, "nan": None, "cls": "3"}
    assert said(images) == [
        ("0.tar/a/1.jpg", b"one", "a red cat", columns),
        ("0.tar/b.JPG", b"two", "a blue cat", {}),
        ("0.tar/./c.png", b"three", "", {}),
        ("1.tar/a/1.jpg", b"four", "", {}),
    ]
    assert others == []


def test_prompt_and_image_are_what_one_says(found):
    shard = {
        "1.input.png": b"before",
        "1.output.png": b"after",
        "1.json": b'{"text": "said", "txt": 5, "prompt": null}',
        "1.txt": b"other",
        "1.caption": b"a caption",
    }
    (image,) = found(shard, image="output.png", prompt="text").images
    columns = {"txt": 5, "prompt": None, ".txt": "other", "caption": "a caption"}
    assert said([image]) == [("0.tar/1.output.png", b"after", "said", columns)]
    assert found(shard, image="Input.png", prompt="caption").images[0].prompt == "a caption"
    assert found(shard, image="input.png", prompt="prompt").images[0].prompt == ""
    for columns, expected in (
        ({}, r"0\.tar/1: has the images input\.png, output\.png, expected one; --image-column says which"),
        ({"image": "jpg"}, r"0\.tar/1: has the images input\.png, output\.png, expected jpg"),
        ({"image": "input.png", "prompt": "words"}, r"0\.tar/1: expected words, a key of its JSON or an extension"),
        ({"image": "input.png", "prompt": "txt"}, r"0\.tar/1: txt is a int, expected text"),
    ):
        with pytest.raises(InputError, match=expected):
            found(shard, **columns)


def test_what_is_no_image_or_text_is_named_and_hidden_files_are_passed_over(found):
    shard = {
        "1.jpg": b"one",
        "1.pkl": b"cos\nsystem\n(S'touch owned'\ntR.",
        "1.pyd": b"x",
        "1.mp4": b"x",
        "._1.jpg": b"what a Mac leaves",
        ".cache/2.jpg": b"x",
        "README": b"x",
        "../3.jpg": b"x",
        "4.txt": b"lonely",
    }
    images, others = found(shard)
    assert [image.name for image in images] == ["0.tar/1.jpg"]
    assert others == [
        "0.tar/1.pkl (a pickle, which is never read)",
        "0.tar/1.pyd (a pickle, which is never read)",
        "0.tar/1.mp4 (neither image nor text)",
        "0.tar/README (no extension)",
        "0.tar/../3.jpg (a name that leads outside)",
        "0.tar/4 (a sample without an image)",
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1.json": b"{"}, r"0\.tar/1\.json: not JSON"),
        ({"1.json": b"[" * 100_000}, r"0\.tar/1\.json: not JSON \(nested deeper than 100\)"),
        ({"1.json": b"[1]"}, r"0\.tar/1\.json: expected an object in braces"),
        ({"1.json": b'{"a": 1, "a": 2}'}, r"0\.tar/1\.json: not JSON \('a' is there twice\)"),
        ({"1.json": b'{"prompt": 3}'}, r"0\.tar/1: prompt is a int, expected text"),
        ({"1.txt": b"caf\xe9"}, r"0\.tar/1\.txt: not UTF-8"),
        ({"1.txt": bytes(17 << 20)}, r"0\.tar/1\.txt: 17,825,792 bytes, expected a text"),
        ({"1.JPG": b"again"}, r"0\.tar/1\.JPG: occurs twice"),
        ({"1.json": b"{}", "./1.json": b"{}"}, r"0\.tar/\./1\.json: occurs twice"),
        ({"1.txt": b"x", "1.TXT": b""}, r"0\.tar/1\.TXT: occurs twice"),
    ],
)
def test_a_bad_sample_is_named(found, files, expected):
    with pytest.raises(InputError, match=expected) as error:
        found({"1.jpg": b"one"} | files)
    assert "\n" not in str(error.value)


def test_tars_without_images_are_refused(found):
    with pytest.raises(InputError, match=r"0\.tar, 1\.tar: no images here, expected files that end in \.png"):
        found({"1.txt": b"x"}, {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.jpg", ("1", "jpg")),
        ("a.b/1.Left.JPG", ("a.b/1", "left.jpg")),
        ("./1.jpg", ("1", "jpg")),
        ("1", None),
        ("a.b/1", None),
        (".jpg", None),
        ("1.", None),
        ("", None),
    ],
)
def test_a_name_has_two_parts(name, expected):
    assert name_of(name) == (expected and Name(*expected))


PLAIN = st.text(st.characters(categories=["L", "N", "P", "Z"]), min_size=1, max_size=12)


@given(PLAIN)
def test_a_key_ends_at_the_first_dot_of_the_files_name(name):
    """As webdataset's own pattern has it."""
    found = name_of(name)
    pattern = re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", name.removeprefix("./"), re.DOTALL)
    if found:
        assert (pattern[1], pattern[2].lower()) == (found.key.removeprefix("/"), found.extension) or "//" in name
        assert "." not in found.key.rpartition("/")[2]
    else:
        assert pattern is None or not pattern[2] or pattern[1].endswith("/")


SAMPLES = st.dictionaries(
    st.text("ab1", min_size=1, max_size=3),
    st.tuples(st.sampled_from(["jpg", "seg.png"]), st.sets(st.sampled_from(["txt", "json", "cls", "pkl", "mp4"]))),
    min_size=1,
    max_size=5,
)


@given(samples=SAMPLES, order=st.randoms())
def test_nothing_is_lost_in_whatever_order_it_comes(tmp_path_factory, samples, order):
    """Each file is its sample's image, prompt or column, or is named as left out."""
    folder = tmp_path_factory.mktemp("tars")
    names = [f"{key}.{end}" for key, (image, others) in samples.items() for end in (image, *sorted(others))]
    order.shuffle(names)
    files = {name: b'{"y": 1}' if name.endswith("json") else name.encode() for name in names}
    images, left = from_tars({"a": tar(folder / "a.tar", files)}, Unpacked(folder / "unpacked"))
    assert sorted(each.split(" (")[0] for each in left) == sorted(f"a/{n}" for n in names if n.endswith(("pkl", "mp4")))
    assert len(images) == len(samples)
    for image in images:
        name = image.name.removeprefix("a/")
        key = name.partition(".")[0]
        end, others = samples[key]
        assert (name, image.path.read_bytes()) == (f"{key}.{end}", name.encode())
        assert image.prompt == (f"{key}.txt" if "txt" in others else "")
        cls = {"cls": f"{key}.cls"} if "cls" in others else {}
        assert image.columns == ({"y": 1} if "json" in others else {}) | cls
