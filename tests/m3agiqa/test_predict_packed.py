"""m3agiqa predict on images that stand in tars and tables: the scores are those of the same files in a folder."""

import argparse
import json
import os
import signal
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3agiqa import bundle
from m3agiqa.commands import predict
from m3agiqa.errors import InputError
from tests.packed import png, tar

ROOT = Path(__file__).parents[2]
SEEDS = range(40, 44)


@pytest.fixture
def run(parts, tmp_path, monkeypatch):
    """Score with a bundle that has quality, where four images stand in a table, in two tars, and in Parquet."""
    monkeypatch.chdir(tmp_path)
    bundle.pack({"quality": parts["quality"]}, Path("bundle"), "card")
    Path("images").mkdir()
    files = {seed: png(seed) for seed in SEEDS}
    rows = [{"image": f"{seed}.png", "prompt": f"a cube, {seed}", "seed": seed} for seed in SEEDS]
    for seed, content in files.items():
        Path(f"images/{seed}.png").write_bytes(content)
    Path("plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for shard, of in (("a.tar", rows[:2]), ("b.tar", rows[2:])):
        packed = {row["image"]: files[row["seed"]] for row in of}
        packed |= {
            f"{row['seed']}.json": json.dumps({"prompt": row["prompt"], "seed": row["seed"]}).encode() for row in of
        }
        tar(Path(shard), packed)
    pictures = [{"bytes": files[row["seed"]], "path": row["image"]} for row in rows]
    table = pa.Table.from_pylist([row | {"image": each} for row, each in zip(rows, pictures, strict=True)])
    pq.write_table(table, "packed.parquet")

    def run(*given: str, out: str = "out") -> list[dict]:
        parser = argparse.ArgumentParser()
        predict.add_arguments(parser)
        predict.run(parser.parse_args([*given, "--bundle", "bundle", "--out", out, "--device", "cpu"]))
        return [json.loads(line) for line in Path(out, "scores.jsonl").read_text(encoding="utf-8").splitlines()]

    return run


def test_the_scores_are_those_of_the_files(run):
    plain = run("--table", "plain.jsonl")
    assert {line["status"] for line in plain} == {"ok"}
    page = Path("out/gallery.html").read_bytes()
    assert run("--table", "packed.parquet") == plain
    assert Path("out/gallery.html").read_bytes() == page
    packed = run("--tar", "a.tar", "b.tar")
    assert [line["image"] for line in packed] == ["a.tar/40.png", "a.tar/41.png", "b.tar/42.png", "b.tar/43.png"]
    assert [line | {"image": ""} for line in packed] == [line | {"image": ""} for line in plain]
    assert Path("out/gallery.html").read_text(encoding="utf-8").count("<img") == 4
    assert not Path("out/.cache/unpacked").exists()  # the copies are gone with the run


def test_several_tables_are_one_list(run):
    lines = run("--table", "plain.jsonl", "packed.parquet")
    assert lines[:4] == lines[4:]
    assert len(lines) == 8
    with pytest.raises(InputError, match=r"^plain\.jsonl: named twice$"):
        run("--table", "plain.jsonl", "packed.parquet", "plain.jsonl")


def test_what_is_no_image_is_named_as_in_its_tar_each_time(run, capsys):
    tar(Path("bad.tar"), {"1.png": b"no image", "1.pkl": b"x", "2.png": png(41)})
    said = []
    for _ in range(2):  # anew, and from the journal
        with pytest.raises(SystemExit):
            run("--tar", "bad.tar")
        said.append(Path("out/scores.jsonl").read_bytes())
        error = capsys.readouterr().err
        assert "left out, for no images: bad.tar/1.pkl (a pickle, which is never read)" in error
        assert "predict: bad.tar/1.png, quality: failed: " in error
    assert said[0] == said[1]
    assert b"-1.png: not an image" in said[0]


def test_a_tar_is_refused_before_anything_is_written(run):
    Path("a.tar").write_bytes(Path("a.tar").read_bytes()[:3_000])
    with pytest.raises(InputError, match=r"^a\.tar: not a tar, or damaged"):
        run("--tar", "b.tar", "a.tar")
    assert [path.name for path in Path("out").rglob("*") if path.is_file()] == ["unpacked.lock"]


@pytest.mark.parametrize(
    "given", [("images/40.png", "--image-column", "x"), ("--folder", "images", "--prompt-column", "x")]
)
def test_columns_belong_to_tables_and_tars(run, given):
    with pytest.raises(
        InputError, match="--image-column and --prompt-column are columns of a --table, or what a --tar"
    ):
        run(*given)


KILLED = """
import os, signal, sys
from m3agiqa import scorer
from m3agiqa.__main__ import main

scorer.Scorer.__init__ = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # once all is unpacked
main()
"""


def test_a_killed_run_leaves_what_the_next_takes_away(run, programs):
    expected = run("--tar", "a.tar", "b.tar", out="whole")
    command = [programs / "python", "-c", KILLED, "predict", "--tar", "a.tar", "b.tar"]
    command += ["--bundle", "bundle", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert len([path for path in Path("out/.cache/unpacked").rglob("*") if path.is_file()]) == 4
    run("--table", "plain.jsonl")
    assert not Path("out/.cache/unpacked").exists()
    assert run("--tar", "a.tar", "b.tar") == expected
