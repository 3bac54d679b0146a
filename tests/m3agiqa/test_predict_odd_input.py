"""m3agiqa predict on what people's tables and folders hold, on odd terminals, and twice at once: nothing is lost."""

import argparse
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from m3agiqa import bundle
from m3agiqa.commands import predict
from m3agiqa.errors import InputError
from m3agiqa.exits import SOME_FAILED
from m3agiqa.files import one_at_a_time
from tests.tiny_mllm import picture


@pytest.fixture
def run(parts, tmp_path, monkeypatch):
    """Score two images, and what a test lays beside them, with a bundle that has quality."""
    monkeypatch.chdir(tmp_path)
    bundle.pack({"quality": parts["quality"]}, Path("bundle"), "card")
    Path("images").mkdir()
    for number in range(2):
        picture(40 + number).save(f"images/{number}.png")

    def run(*given: str) -> None:
        parser = argparse.ArgumentParser()
        predict.add_arguments(parser)
        predict.run(parser.parse_args([*given, "--bundle", "bundle", "--out", "out", "--device", "cpu"]))

    return run


def lines() -> list[dict]:
    return [json.loads(line) for line in Path("out/scores.jsonl").read_text(encoding="utf-8").splitlines()]


def test_addresses_and_long_paths_in_a_table_stop_no_other(run, capsys):
    address = "data:image/png;base64," + "iVBORw0KGgo/" * 900
    names = ["images/0.png", address, "data:image/png;base64,iVBOR", f"{'x' * 300}.png", "images", "images/1.png"]
    pd.DataFrame({"image": names, "prompt": "a cube"}).to_csv("asked.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        run("--table", "asked.csv")
    assert ended.value.code == SOME_FAILED
    assert [line["status"][:6] for line in lines()] == ["ok", *["failed"] * 4, "ok"]
    assert [line["image"] for line in lines()] == names
    said = capsys.readouterr()
    assert "not to be opened (File name too long)" in said.err
    assert max(map(len, (said.out + said.err).splitlines())) < 1_000


def test_a_file_name_that_is_not_utf_8_is_scored(run, capsys):
    picture(3).save(os.fsdecode(b"images/caf\xe9.png"))
    Path(os.fsdecode(b"images/torn-\xff.png")).write_bytes(b"no image")
    for _ in range(2):  # anew, and from the journal
        with pytest.raises(SystemExit):
            run("--folder", "images")
        found = {os.fsencode(line["image"]): line["status"][:6] for line in lines()}
        assert found == {b"0.png": "ok", b"1.png": "ok", b"caf\xe9.png": "ok", b"torn-\xff.png": "failed"}
        assert list(pd.read_csv("out/scores.csv")["status"].str[:6]) == ["ok", "ok", "ok", "failed"]
    assert "1 of 4 scores are missing" in capsys.readouterr().err


def test_what_a_terminal_cannot_show_is_written_as_an_escape(run, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    run("images/0.png", "--prompt", "кот")
    assert rb'images/0.png  "\u043a\u043e\u0442"' in shown.getvalue()


class _Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_the_files_are_there_before_anything_is_printed(run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", _Gone())
    with pytest.raises(BrokenPipeError):
        run("images/0.png", "--prompt", "a cat")
    assert [line["status"] for line in lines()] == ["ok"]
    assert Path("out/gallery.html").exists()


def test_a_second_run_into_one_folder_waits_for_the_first(run, capsys):
    second, said = threading.Thread(target=run, args=("images/0.png",)), ""
    with one_at_a_time(Path("out/.cache/lock"), ""):
        second.start()
        while second.is_alive() and "another run writes into out; waiting for it to end" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        assert second.is_alive()
        assert not Path("out/scores.csv").exists()
    second.join(60)
    assert [line["status"] for line in lines()] == ["ok"]


def test_the_pages_length_is_asked_for(run):
    run("--folder", "images", "--gallery", "1")
    assert Path("out/gallery.html").read_text(encoding="utf-8").count("<img") == 1
    with pytest.raises(InputError, match="--gallery is -1, expected 0 or more"):
        run("--folder", "images", "--gallery", "-1")
