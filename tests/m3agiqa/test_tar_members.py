"""The files in a tar: all of them, or one line that says what is wrong with it."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa import tar_members
from m3agiqa.errors import InputError
from m3agiqa.tar_members import members
from tests.packed import tar

FILES = {"a/1.jpg": b"one" * 500, "a/1.txt": b"", "2.jpg": bytes(2_000)}


def read(path):
    """The name, the content and what is odd of each file."""
    return [(each.name, None if each.odd else b"".join(each.chunks), each.odd) for each in members(path, path.name)]


def raw(*headers: tarfile.TarInfo, body: bytes = b"") -> bytes:
    """Headers as they are, whatever they say, each with `body` behind it, and the end of a tar."""
    block = body + bytes(-len(body) % 512)
    return b"".join(header.tobuf(tarfile.GNU_FORMAT) + block for header in headers) + bytes(1024)


def header(name: str = "1.jpg", size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, target
    return made


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_files_come_in_order_compressed_or_not(tmp_path, compression):
    path = tar(tmp_path / "a.tar", FILES, compression=compression)
    assert read(path) == [(name, content, None) for name, content in FILES.items()]
    assert [each.size for each in members(path, "a.tar")] == list(map(len, FILES.values()))  # nothing need be read


def test_a_first_name_that_looks_like_a_compression_is_a_name(tmp_path):
    files = {"BZh9.jpg": b"x"}
    assert read(tar(tmp_path / "a.tar", files)) == [("BZh9.jpg", b"x", None)]


@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("keep", [0, 100, 600, 1_024, 2_100, 2_600, 3_584, 4_100])
def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path, keep, compression):
    """Also between two files, or where the end is missing: what is not there is not left out in silence."""
    whole = tar(tmp_path / "a.tar", FILES).read_bytes()
    (tmp_path / "a.tar").write_bytes(gzip.compress(whole[:keep]) if compression else whole[:keep])
    with pytest.raises(InputError, match=r"^a\.tar: not a tar, or damaged \(") as error:
        read(tmp_path / "a.tar")
    assert "\n" not in str(error.value)


def test_a_compressed_tar_that_is_cut_is_refused(tmp_path):
    for compression in ("gz", "bz2", "xz"):
        path = tar(tmp_path / "a.tar", {"1.jpg": bytes(range(256)) * 40}, compression=compression)
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(InputError, match=r"^a\.tar: not a tar, or damaged \("):
            read(path)


@pytest.mark.parametrize(
    "content", [b"", b"no tar", b"PK\3\4" + bytes(600), b"\x1f\x8b", b"\x1f\x8bno gzip at all" * 9]
)
def test_what_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"^a\.tar: not a tar, or damaged \("):
        read(tmp_path / "a.tar")
    with pytest.raises(InputError, match="none: no such file"):
        read(tmp_path / "none")


def test_a_damaged_header_in_the_middle_does_not_end_it_in_silence(tmp_path):
    whole = bytearray(tar(tmp_path / "a.tar", FILES).read_bytes())
    whole[2_048 + 512 + 150] ^= 1  # in the sum of the second header
    (tmp_path / "a.tar").write_bytes(whole)
    with pytest.raises(InputError, match="no header at byte"):
        read(tmp_path / "a.tar")


@pytest.mark.parametrize("size", [-1, -512, -(2**40)])
def test_a_size_below_zero_does_not_go_round_for_ever(tmp_path, size):
    (tmp_path / "a.tar").write_bytes(raw(header("0.jpg"), header(size=size)))
    with pytest.raises(InputError, match="not a tar, or damaged"):
        read(tmp_path / "a.tar")


def test_a_size_beyond_the_file_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "a.tar").write_bytes(raw(header(size=2**50)))
    with pytest.raises(InputError, match=r"'1\.jpg' ends beyond"):
        next(members(tmp_path / "a.tar", "a.tar"))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [2**33, -(2**33)])
def test_a_name_of_gigabytes_is_not_read(tmp_path, kind, size):
    (tmp_path / "a.tar").write_bytes(raw(header(size=size, kind=kind), header("2.jpg")))
    with pytest.raises(InputError, match="a header of"):
        read(tmp_path / "a.tar")


def test_headers_that_announce_headers_without_end(tmp_path):
    many = [header("././@LongLink", size=1, kind=tarfile.GNUTYPE_LONGNAME)] * 5_000
    (tmp_path / "a.tar").write_bytes(raw(*many, body=b"x"))
    with pytest.raises(InputError, match="not a tar, or damaged"):
        read(tmp_path / "a.tar")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_members, "RATIO_FROM", 10_000)
    path = tar(tmp_path / "a.tar", {"1.jpg": bytes(10_000_000)}, compression="xz")
    with pytest.raises(InputError, match=r"'1\.jpg' ends beyond [\d,]+ bytes"):
        read(path)


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("1.jpg", tarfile.SYMTYPE, "a link"),
        ("1.jpg", tarfile.LNKTYPE, "a link"),
        ("1.jpg", tarfile.CHRTYPE, "a device"),
        ("1.jpg", tarfile.FIFOTYPE, "a device"),
        ("../1.jpg", tarfile.REGTYPE, "a name that leads outside"),
        ("a/../../1.jpg", tarfile.REGTYPE, "a name that leads outside"),
        ("/etc/1.jpg", tarfile.REGTYPE, "a name that leads outside"),
        (r"..\1.jpg", tarfile.REGTYPE, "a name that leads outside"),
        (r"C:\1.jpg", tarfile.REGTYPE, "a name that leads outside"),
    ],
)
def test_what_is_odd_is_said(tmp_path, name, kind, why):
    (tmp_path / "a.tar").write_bytes(raw(header(name, kind=kind, target="/etc/passwd"), header("2.jpg")))
    assert read(tmp_path / "a.tar") == [(name, None, why), ("2.jpg", b"", None)]


def test_a_sparse_file_is_odd(tmp_path):
    made = tarfile.TarInfo("1.jpg")
    made.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**50)}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as packed:
        packed.addfile(made, io.BytesIO())
    assert read(tmp_path / "a.tar") == [("1.jpg", None, "a sparse file")]


@given(content=st.binary(max_size=2_000), at=st.integers(0, 3_000), start=st.booleans())
def test_whatever_stands_there_is_files_or_one_line(tmp_path_factory, content, at, start):
    path = tmp_path_factory.mktemp("tars") / "a.tar"
    whole = tar(path, FILES).read_bytes()
    path.write_bytes((whole[:at] if start else b"") + content + whole[at + len(content) :])
    try:
        found = read(path)
    except InputError as error:
        found = [(str(error), None, None)]
    assert not any("\n" in name for name, _, _ in found if name.startswith("a.tar: "))
