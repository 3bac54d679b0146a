"""Sources of data sets, on the hub and on the web: each comes once, and is refused where it is not what was meant."""

import hashlib

import pytest

from data.download.sources import fetch
from m3agiqa.errors import InputError
from tests.dataset_server import COMMIT, Fault
from tests.pinned import LARGE, SMALL, pinned

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize("source", ["web", "hub"])
def test_a_file_that_is_not_what_was_pinned_is_refused(server, tmp_path, source):
    server.script = lambda request: Fault(corrupt=request.path.endswith(("set.bin", "data.csv")))
    source = pinned(server) if source == "web" else f"hf://owner/name@{COMMIT}"
    with pytest.raises(InputError, match=r"hash|sha256 \w+, expected \w+, twice: not the file that was meant"):
        fetch([source], tmp_path)
    assert len(server.of("set.bin") + server.of("data.csv")) == 2
    assert not [path for path in tmp_path.rglob("*") if path.name in {"set.bin", "data.csv"}]


def test_a_hub_data_set_comes_once(server, tmp_path):
    source = f"hf://owner/name@{COMMIT}"
    (root,) = fetch([source], tmp_path)
    assert (root / "data.csv").read_bytes() == SMALL
    assert (root / "images/a.bin").read_bytes() == LARGE
    assert (root / "empty.txt").read_bytes() == b""
    assert len(server.requests) == 3
    server.hub.clear()  # and without the hub
    assert fetch([source], tmp_path) == [root]
    assert len(server.requests) == 3


def test_a_file_that_was_changed_here_is_fetched_again(server, tmp_path):
    source = f"hf://owner/name@{COMMIT}"
    (root,) = fetch([source], tmp_path)
    (root / "data.csv").write_bytes(SMALL.replace(b"cat", b"dog"))
    fetch([source], tmp_path)
    assert (root / "data.csv").read_bytes() == SMALL
    assert len(server.requests) == 4


def test_one_failure_stops_the_others(server, tmp_path):
    server.hub["owner/name"] |= {f"{n:03d}.txt": SMALL for n in range(200)}
    server.script = lambda _: Fault(status=404)
    with pytest.raises(InputError, match="the server answered 404"):
        fetch([f"hf://owner/name@{COMMIT}"], tmp_path)
    assert len(server.requests) < 100


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf://owner/name", f"not pinned; its latest commit is now {COMMIT}, so write hf://owner/name@{COMMIT}"),
        ("hf://owner/name@main", "expected hf://owner/name@<40 hex digits of a commit>"),
        ("hf://name", "expected hf://owner/name@"),
        ("hf://owner/other@" + COMMIT, "the server answered 404; a private or gated data set needs HF_TOKEN"),
        ("hf://owner/name@" + "1" * 40, "the server answered 404"),
        (
            "{url}/set.bin",
            "not pinned; it is here now, and if it is what you want, write {url}/set.bin#sha256={sha256}",
        ),
        ("{url}/none.zip#sha256={sha256}", "none.zip: the server answered 404"),
        ("{url}/set.bin#sha256=123", "expected the address of a file#sha256=<64 hex digits>"),
        ("{url}/#sha256={sha256}", "expected the address of a file"),
        ("http://127.0.0.1:1/set.bin#sha256={sha256}", "set.bin: "),
        ("no/such/folder", "no/such/folder: no such folder or file"),
    ],
)
def test_a_source_that_cannot_be_had_is_told_in_one_line(server, tmp_path, source, expected):
    values = {"url": server.url, "sha256": hashlib.sha256(LARGE).hexdigest()}
    with pytest.raises(InputError) as error:
        fetch([source.format(**values)], tmp_path)
    assert expected.format(**values) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hub_that_is_switched_off_is_told_in_one_line(server, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=rf"hf://owner/name@{COMMIT}: .*offline mode.*[^N]$") as error:
        fetch([f"hf://owner/name@{COMMIT}"], tmp_path)
    assert "\n" not in str(error.value)
    assert "HF_TOKEN" not in str(error.value)


def test_an_unpinned_file_is_not_fetched_again_when_its_pin_is_added(server, tmp_path):
    with pytest.raises(InputError, match="not pinned"):
        fetch([f"{server.url}/set.bin"], tmp_path)
    fetch([pinned(server)], tmp_path)
    assert len(server.requests) == 1


def test_names_of_a_listing_stay_inside(server, tmp_path):
    server.hub["owner/name"] = {"../../outside.txt": SMALL}
    with pytest.raises(InputError, match="points outside its folder"):
        fetch([f"hf://owner/name@{COMMIT}"], tmp_path / "deep/scratch")
    assert not list(tmp_path.rglob("outside.txt"))
