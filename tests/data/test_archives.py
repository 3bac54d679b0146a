"""Archives of others: what unpacks, and what is refused before it can do harm."""

import errno
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import py7zr
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.download import archives
from data.download.archives import unpack
from m3agiqa.errors import InputError

CONTENT = {
    "set/data.csv": b"name,prompt\n",
    "set/images/a.png": os.urandom(5000),
    "set/empty.txt": b"",
    "猫.txt": b"cat",
}
KINDS = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z")
EVIL = (
    "../outside.txt",
    "/outside.txt",
    "a/../../outside.txt",
    "..\\outside.txt",
    "C:\\outside.txt",
    "C:outside.txt",
)


def pack(path, members):
    """An archive of the kind that `path` says with these members, in order; nothing is checked."""
    name = path.name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for member, content in members:
                file.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
    elif name.endswith(".7z"):
        with py7zr.SevenZipFile(path, "w") as file:
            for member, content in members:
                file.writestr(content, member)
    else:
        with tarfile.open(path, "w:" + name.rpartition(".tar")[2].strip(".")) as file:
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def refusal(path, folder):
    with pytest.raises(InputError) as error:
        unpack(path, folder)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not folder.exists()
    return str(error.value)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_unpacks(tmp_path, kind):
    unpack(pack(tmp_path / f"set{kind}", CONTENT.items()), tmp_path / "out")
    assert files(tmp_path / "out") == CONTENT
    assert not list(tmp_path.glob("*.partial"))


def test_what_an_earlier_kill_left_is_gone(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial/half.txt").write_bytes(b"half")
    unpack(pack(tmp_path / "set.zip", CONTENT.items()), tmp_path / "out")
    assert files(tmp_path / "out") == CONTENT


@pytest.mark.parametrize("kind", [".zip", ".tar", ".7z"])
@pytest.mark.parametrize("name", EVIL)
def test_names_that_lead_outside_are_refused(tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr(py7zr.py7zr, "check_archive_path", lambda _: True)  # py7zr would not pack them
    monkeypatch.setattr(py7zr.SevenZipFile, "_sanitize_archive_arcname", staticmethod(str))
    path = pack(tmp_path / f"set{kind}", [("good.txt", b"good"), (name, b"bad")])
    assert "points outside" in refusal(path, tmp_path / "deep/out")
    assert not list(tmp_path.rglob("outside.txt"))
    assert not Path("/outside.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "set.tar", "w") as file:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    assert "a link or a device" in refusal(tmp_path / "set.tar", tmp_path / "out")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        info = zipfile.ZipInfo("a.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    assert "a link or a device" in refusal(tmp_path / "set.zip", tmp_path / "out")


def test_links_in_a_7z_are_refused(tmp_path):
    (tmp_path / "a.png").symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(tmp_path / "set.7z", "w") as file:
        file.write(tmp_path / "a.png", "a.png")
    assert "a link or a device" in refusal(tmp_path / "set.7z", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", [".zip", ".tar", ".7z"])
def test_a_name_that_occurs_twice_is_refused(tmp_path, kind):
    path = pack(tmp_path / f"set{kind}", [("a.txt", b"one"), ("./a.txt" if kind == ".tar" else "a.txt", b"two")])
    assert "occurs twice" in refusal(path, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "RATIO_FROM", 10_000)
    path = pack(tmp_path / f"set{kind}", [("zeros.bin", bytes(4_000_000))])
    if kind == ".tar":
        monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    assert "unpacks to more than" in refusal(path, tmp_path / "out")
    assert sum(path.stat().st_size for path in tmp_path.rglob("zeros.bin")) == 0


@pytest.mark.parametrize("kind", [".zip", ".tar", ".7z"])
def test_too_many_files_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    path = pack(tmp_path / f"set{kind}", [(f"{n}.txt", b"x") for n in range(4)])
    assert "more than 3 files" in refusal(path, tmp_path / "out")


def test_a_header_that_lies_about_sizes_brings_no_more_than_it_says(tmp_path):
    path = pack(tmp_path / "set.zip", [("zeros.bin", bytes(1_000_000))])
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10)))
    assert "damaged" in refusal(path, tmp_path / "out")


def test_more_than_the_disk_holds_is_refused_before_it_is_full(tmp_path, monkeypatch):
    path = pack(tmp_path / "set.zip", CONTENT.items())
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=5_014))
    assert "unpacks to 5,015 bytes, and the disk has 5,014 left" in refusal(path, tmp_path / "out")


def test_a_disk_that_fills_up_is_not_called_damage(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives._Budget, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(pack(tmp_path / "set.zip", CONTENT.items()), tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.zip"]


def test_a_password_is_not_guessed(tmp_path):
    with py7zr.SevenZipFile(tmp_path / "set.7z", "w", password="secret") as file:  # noqa: S106
        file.writestr(b"text", "a.txt")
    assert "cannot be unpacked" in refusal(tmp_path / "set.7z", tmp_path / "out")

    path = pack(tmp_path / "set.zip", [("a.txt", b"text")])
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the member
    content[content.index(b"PK\1\2") + 8] |= 1  # and of the list
    path.write_bytes(content)
    assert "cannot be unpacked" in refusal(path, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"not an archive", "half"])
def test_what_is_no_whole_archive_is_refused(tmp_path, kind, content):
    path = pack(tmp_path / f"set{kind}", CONTENT.items())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    if kind == ".tar" and content == b"":
        pytest.skip("nothing is an empty tar")
    assert "damaged" in refusal(path, tmp_path / "out")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), where=st.floats(0, 0.999), value=st.integers(0, 255), length=st.integers(1, 4))
def test_any_damage_is_told_in_one_line(tmp_path_factory, kind, where, value, length):
    folder = tmp_path_factory.mktemp("damage")
    path = pack(folder / f"set{kind}", CONTENT.items())
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    content[at : at + length] = bytes([value]) * length
    path.write_bytes(content)
    try:
        unpack(path, folder / "deep/out")
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert {entry.name for entry in folder.iterdir()} <= {path.name, "deep"}
    assert not (folder / "deep/out.partial").exists()
