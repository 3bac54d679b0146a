import json

import pytest

from m3agiqa import files


def test_atomic_replaces_only_when_the_block_ends_well(tmp_path):
    target = tmp_path / "deep" / "table"
    with files.atomic(target) as temporary:
        temporary.write_text("first")
    with pytest.raises(UnicodeEncodeError), files.atomic(target) as temporary:
        temporary.write_text("half \udcff", encoding="utf-8")
    assert target.read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["table"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "metrics.json", {"srcc": float("nan")})
    assert not (tmp_path / "metrics.json").exists()
    files.write_json(tmp_path / "metrics.json", {"srcc": None})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"srcc": None}


def test_folder_hash_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    before = files.folder_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = files.folder_sha256(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, files.folder_sha256(tmp_path)}) == 3


def test_fingerprint_ignores_the_order_of_keys():
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 1.5})
