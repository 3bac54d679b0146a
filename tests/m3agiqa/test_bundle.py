"""A bundle scores as the workspace does, and one that is damaged, changed or of another version is refused."""

import json
import re
import shutil
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from m3agiqa import bundle
from m3agiqa.card import read_card
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.parts import load
from m3agiqa.scorer import Scorer
from tests.local_http import QuietHandler
from tests.tiny_mllm import picture

ASK = {"images": [picture(30), picture(31)], "prompts": ["a red cube", "a sphere"]}


@pytest.fixture(scope="module")
def packed(parts, tmp_path_factory) -> Path:
    """Read-only."""
    out = tmp_path_factory.mktemp("bundles") / "bundle"
    bundle.pack(parts, out, render(bundle.cards(parts)))
    return out


@pytest.fixture
def own(packed, tmp_path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "own"))


def test_it_scores_as_the_parts_do(parts, packed):
    scorer = Scorer.load(packed, device="cpu")
    assert scorer.aspects == ("quality", "correspondence")
    for aspect in scorer.aspects:
        assert scorer(**ASK, aspect=aspect) == Scorer(parts, device="cpu")(**ASK, aspect=aspect)


def test_it_holds_safetensors_and_json_and_says_what_it_is(packed):
    files = [path for path in packed.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".jinja", ".md"}
    text = (packed / "README.md").read_text()
    assert "SRCC on 3 test images | 0.500" in text
    assert "PLCC on 3 test images | none" in text


def test_a_note_stands_first_in_its_readme(parts):
    text = render(bundle.cards(parts), "For non-commercial use only.")
    assert text.index("**For non-commercial use only.**") < text.index("Scores quality")
    assert "| knows | pictures that people rated |" in text


def test_any_changed_byte_is_refused(packed, own):
    for path in sorted(path for path in own.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(InputError, match="." if path.name == "checksums.json" else f"{path.name} changed"):
                bundle.open_bundle(own)
        path.write_bytes(whole)
    assert bundle.open_bundle(own)


def test_missing_and_added_files_are_refused(own):
    (own / "quality/adapter/adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match=r"quality/adapter/adapter_model.bin does not belong"):
        bundle.open_bundle(own)
    (own / "quality/adapter/adapter_model.bin").unlink()
    (own / ".gitattributes").write_text("what a hub adds")
    assert bundle.open_bundle(own)
    (own / "quality/head/head.safetensors").unlink()
    with pytest.raises(InputError, match=r"quality/head/head.safetensors is missing"):
        bundle.open_bundle(own)


def test_checksums_that_nothing_can_read_are_refused(own):
    (own / "checksums.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"checksums\.json is damaged"):
        bundle.open_bundle(own)


def test_another_version_is_refused(own):
    listing = json.loads((own / "checksums.json").read_text())
    (own / "checksums.json").write_text(json.dumps(listing | {"format": 3}))
    with pytest.raises(InputError, match="a bundle of format 3; this version reads format 5: pack it anew"):
        bundle.open_bundle(own)
    with pytest.raises(InputError, match="no bundle here"):
        bundle.open_bundle(own / "quality")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "format 3, and this version of the project reads format 5"),
        ({"extra": 1}, "extra: Extra inputs"),
        ({"head": {"sha256": "", "preference": {}, "interval": {"level": 2}}}, "head.interval.level"),
        ({"head": {"sha256": None}}, "head.sha256: Input should be a valid string"),
    ],
)
def test_a_card_is_validated(own, change, message):
    path = own / "quality/card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_card(path)


def test_parts_of_another_run_are_refused(parts, own):
    mine, other = bundle.open_bundle(own)["quality"], parts["correspondence"]
    head = "another head than the card's"
    for kind, message in (("head", head), ("fast_head", head), ("adapter", "not the adapter or the MLLM")):
        shutil.rmtree(own / "mixed", ignore_errors=True)
        mixed = mine.__dict__ | {kind: getattr(other, kind)}
        with pytest.raises(InputError, match=message):
            load(type(mine)(**mixed), "cpu")


def test_packing_again_replaces_the_bundle_whole(parts, own):
    (own / "stray.txt").write_text("left over")
    bundle.pack({"quality": parts["quality"]}, own, "card")
    assert list(bundle.open_bundle(own)) == ["quality"]
    assert [path.name for path in own.parent.iterdir()] == ["own"]


class _Hub(QuietHandler):
    """As much of a hub as a snapshot download asks for: one repository at one commit."""

    folder: Path
    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        names = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]
        about = self.path.partition("?")[0].removeprefix("/api/models/me/scorer/revision/")
        if about in ("v1", "main", self.COMMIT):
            listing = {"id": "me/scorer", "sha": self.COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.send(json.dumps(listing).encode(), {"Content-Type": "application/json"})
        elif self.path.startswith(f"/api/models/me/scorer/tree/{self.COMMIT}"):
            sizes = {name: (self.folder / name).stat().st_size for name in names}
            tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in sizes.items()]
            self.send(json.dumps(tree).encode(), {"Content-Type": "application/json"})
        elif (name := self.path.removeprefix(f"/me/scorer/resolve/{self.COMMIT}/")) in names:
            content = (self.folder / name).read_bytes()
            self.send(content, {"ETag": f'"{hash(name) & 0xFFFFFFFF:x}"', "X-Repo-Commit": self.COMMIT})
        else:
            self.send_error(404, "not here")

    do_HEAD = do_GET  # noqa: N815 (http.server's name)


@pytest.fixture
def hub(own, tmp_path, monkeypatch):
    handler = type("Hub", (_Hub,), {"folder": own})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"  # what HF_ENDPOINT sets at import
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE.split("/{repo_id}", 1)[1]
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{repo_id}}{template}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield own
    server.shutdown()
    server.server_close()


HUB = f"hf://me/scorer@{_Hub.COMMIT}"


def test_a_bundle_comes_from_a_hub_at_a_commit(hub, parts):
    scorer = Scorer.load(HUB, device="cpu")
    assert scorer(**ASK, aspect="quality") == Scorer(parts, device="cpu")(**ASK, aspect="quality")


def test_a_hub_that_changed_a_byte_is_refused(hub):
    path = hub / "quality/head/head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match=rf"{HUB}: quality/head/head.safetensors changed"):
        bundle.open_bundle(HUB)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("hf://me/scorer@v1", "v1 is now"),  # a tag, which may move
        ("hf://me/scorer@main", "main is now"),
        ("hf://me/scorer", "the latest is now"),
        ("hf://me/scorer@", "the latest is now"),
    ],
)
def test_a_hub_bundle_is_named_by_its_commit_and_told_which(hub, place, what):
    expected = f"{place}: expected hf://owner/name@<40 hex digits of a commit>; {what} {_Hub.COMMIT}, so write {HUB}"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        bundle.open_bundle(place)


@pytest.mark.parametrize("place", ["hf://me/other@v1", "hf://scorer@v1", "hf://a/b/c", "hf://me/scorer@0123abc"])
def test_where_the_hub_does_not_know_it_is_said_where_to_look(hub, place):
    with pytest.raises(InputError, match=r"<40 hex digits of a commit>; a repository's page on the hub lists its"):
        bundle.open_bundle(place)


def test_what_the_hub_has_not_is_one_line(hub):
    place = f"hf://me/other@{_Hub.COMMIT}"
    with pytest.raises(InputError, match=f"{place}: the hub cannot give it") as error:
        bundle.open_bundle(place)
    assert "\n" not in str(error.value)
