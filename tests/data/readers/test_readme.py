"""The README's example of a new data set works as it stands there."""

import re
from pathlib import Path

from ruamel.yaml import YAML

import data.readers
from data.ingest.samples import ingest
from tests.labelled import write_images

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


def test_the_example_reads_a_data_set(tmp_path, monkeypatch):
    (code,) = re.findall(r"data/readers/my_set\.py:\n\n```python\n(.*?)```", README, re.DOTALL)
    (profile,) = (YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(  my-set:.*?)```", README, re.DOTALL))
    (tmp_path / "readers").mkdir()
    (tmp_path / "readers/my_set.py").write_text(code)
    monkeypatch.setattr(data.readers, "__path__", [*data.readers.__path__, str(tmp_path / "readers")])

    write_images(tmp_path / "set/pictures", ["a.png", "b.png"])
    (tmp_path / "set/labels.csv").write_text("file,text,score\na.png,a cat,10\nb.png,a dog,2\n")
    profile = profile["my-set"]
    samples, _ = ingest(profile["reader"], [tmp_path / "set"], tmp_path / "out", scale=profile["scale"])
    assert list(samples["prompt"]) == ["a cat", "a dog"]
    assert list(samples["mos_quality"]) == [5, 1]
