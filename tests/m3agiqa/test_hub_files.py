"""Files of a data set on a hub, at a commit; the hub is a server of the test's own."""

import hashlib
import io
import json
import re
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3agiqa.errors import InputError
from m3agiqa.hub_files import hub_files, on_hub
from m3agiqa.image_list import from_table
from m3agiqa.unpacked import Unpacked
from tests.local_http import LocalServer, QuietHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"
AT = f"hf://datasets/me/set@{COMMIT}"
ENDS = (".parquet", ".csv")


def parquet(*names: str) -> bytes:
    with io.BytesIO() as file:
        pq.write_table(pa.table({"image": [{"bytes": name.encode(), "path": name} for name in names]}), file)
        return file.getvalue()


FILES = {
    "README.md": b"# a set",
    "data/test-00000-of-00002.parquet": parquet("1.png", "2.png"),
    "data/test-00001-of-00002.parquet": parquet("3.png"),
    "data/train.parquet": parquet("4.png"),
    "labels.csv": b"image\na.png\n",
}


class _Hub(QuietHandler):
    """As much of a hub as is asked for: one data set at one commit."""

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        path = unquote(urlsplit(self.path).path)
        name = path.removeprefix(f"/datasets/me/set/resolve/{COMMIT}/")
        if path in ("/api/datasets/me/set", "/api/datasets/me/set/revision/main"):
            self.send(json.dumps({"id": "me/set", "sha": COMMIT}).encode(), {})
        elif path == f"/api/datasets/me/set/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(FILES[name]), "oid": name} for name in FILES]
            self.send(json.dumps(tree).encode(), {})
        elif name in FILES:
            tag = hashlib.sha256(FILES[name]).hexdigest()
            self.send(FILES[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_error(404, "not here")

    do_HEAD = do_GET  # noqa: N815 (http.server's name)


class _Server(LocalServer):
    def handler(self):
        return _Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with _Server() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.split("/{repo_id}", 1)[1]
        monkeypatch.setattr(constants, "ENDPOINT", server.url)  # what HF_ENDPOINT sets at import
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{{repo_id}}{template}")
        yield


def test_files_come_by_pattern_or_name_in_order(hub, tmp_path):
    found = hub_files(f"{AT}/data/test-*.parquet", ENDS)
    assert list(found) == [f"{AT}/data/test-0000{n}-of-00002.parquet" for n in (0, 1)]
    images = [image for path in found.values() for image in from_table(path, Unpacked(tmp_path / "unpacked"))]
    assert [(image.name, image.path.read_bytes()) for image in images] == [
        (f"{n}.png", b"%d.png" % n) for n in (1, 2, 3)
    ]
    (path,) = hub_files(f"hf://me/set@{COMMIT}/labels.csv", ENDS).values()
    assert path.read_bytes() == FILES["labels.csv"]


def test_a_file_that_is_here_needs_no_hub(tmp_path, monkeypatch, hub):
    address = f"{AT}/labels.csv"
    before = hub_files(address, ENDS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert hub_files(address, ENDS) == before
    with pytest.raises(InputError, match="the hub cannot give it") as error:
        hub_files(f"{AT}/*.csv", ENDS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pattern", ["", "/", "/data/none-*.parquet"])
def test_what_names_no_file_is_told_which_there_are(hub, pattern):
    tables = "data/test-00000-of-00002.parquet, data/test-00001-of-00002.parquet, data/train.parquet, labels.csv"
    with pytest.raises(InputError, match=rf"{re.escape(AT + pattern)}: names no file; .*: {re.escape(tables)}$"):
        hub_files(f"{AT}{pattern}", ENDS)


@pytest.mark.parametrize(
    ("revision", "now"), [("", "the latest commit"), ("@", "the latest commit"), ("@main", "main")]
)
def test_an_address_without_a_commit_is_told_it(hub, revision, now):
    address = f"hf://datasets/me/set{revision}/data/train.parquet"
    expected = f"{address}: not pinned; {now} is now {COMMIT}, so write {AT}/data/train.parquet"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        hub_files(address, ENDS)


@pytest.mark.parametrize(
    "address", [f"{AT}/none.parquet", f"hf://other/set@{COMMIT}/*.csv", "hf://other/set", f"{AT[:-1]}/x"]
)
def test_what_the_hub_has_not_is_one_line(hub, address):
    with pytest.raises(InputError, match=f"^{re.escape(address)}: the hub cannot give it") as error:
        hub_files(address, ENDS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["hf://", "hf://set", "hf://datasets", "hf:///me/set", "hf://me/s et@x/y"])
def test_what_is_no_address_is_told_how_one_looks(address):
    with pytest.raises(InputError, match=r"expected hf://datasets/owner/name@<40 hex digits of a commit>/data/test"):
        hub_files(address, ENDS)


def test_a_path_is_no_address():
    assert on_hub(AT)
    assert not any(map(on_hub, ("data/test.parquet", "hf:/x", "")))
