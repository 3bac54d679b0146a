from pathlib import Path

import pytest
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from m3agiqa.errors import InputError
from m3agiqa.strict import Strict
from pipeline import settings

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path):
    """Write params.yaml with some keys changed ("a.b" for nested ones) and give its path."""

    def write(**changes):
        values = YAML(typ="safe").load(PARAMS)
        for key, value in changes.items():
            *parents, last = key.split(".")
            section = values
            for parent in parents:
                section = section[parent]
            section[last] = value
        path = tmp_path / "params.yaml"
        YAML().dump(values, path)
        return path

    return write


def test_the_checked_in_params_are_valid():
    assert settings.load(PARAMS).dataset == "synthetic"


def test_every_setting_is_there_to_be_set():
    """DVC's -S changes no key that is not in the file ("not in struct")."""

    def absent(known, written, key):
        if isinstance(known, Strict):
            fields = {name: getattr(known, name) for name in type(known).model_fields}
            yield from (f"{key}{name}" for name in fields if name not in written)
        else:
            fields = known if isinstance(known, dict) else {}
        for name, value in fields.items():
            if name in written:
                yield from absent(value, written[name], f"{key}{name}.")

    assert list(absent(settings.load(PARAMS), YAML(typ="safe").load(PARAMS), "")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aspect": "beauty"}, "aspect: .*'quality', 'correspondence' or 'authenticity'.*'beauty'"),
        ({"dataset": "agiqa"}, "dataset is 'agiqa', which is not among datasets: synthetic, folder"),
        ({"head": "rwkv"}, "head is 'rwkv', which is not among heads: xlstm, mlp, lstm"),
        ({"heads.gru.heads": 4}, "heads.gru.heads: Extra inputs"),
        ({"teachers.mllm.mllm": 4}, "teachers.mllm.mllm: Input should be a valid string"),
        ({"datasets.folder.scale": [5, 1]}, r"datasets.folder.scale: scale must be \[lowest, highest\]"),
        (
            {"heads.xlstm.slstm_at": [7]},
            "heads.xlstm: slstm_at = 7 names no block; they are counted from 0, and blocks = 1",
        ),
        ({"heads.statistics.shortcut": False}, "a head of the kind statistics has its shortcut alone"),
        ({"heads.xlstm.dim": 30}, "heads.xlstm: dim = 30 must be a multiple of 4 and of heads = 4"),
        ({"heads.transformer.dim": 30}, "heads.transformer: dim = 30 must be a multiple of heads = 4"),
        ({"heads.mamba.dim": 31}, "heads.mamba: twice dim = 31 must be a multiple of heads = 4"),
        ({"mllms.tiny.lora.targets": "(q_proj"}, r"mllms.tiny.lora.targets: no regular expression: missing \)"),
        ({"heads.gru.kind": "rwkv"}, "heads.gru: .*'rwkv'"),
        ({"train.loss": {"mse": 0.0}}, "train.loss: at least one of mse, huber, plcc and rank needs a weight"),
        ({"train.loss": {"srcc": 1.0}}, "train.loss.srcc: Extra inputs"),
        ({"train.loss.rank": -1}, "train.loss.rank: .*greater than or equal to 0"),
        ({"mllm": "gpt"}, "mllm is 'gpt', which is not among mllms: tiny"),
        ({"teacher": "oracle"}, "teacher is 'oracle', which is not among teachers: offline"),
        ({"teachers.mllm.mllm": "gpt"}, "teachers.mllm.mllm is 'gpt', which is not among mllms: tiny"),
        ({"teachers.gemini.sdk": "vertex"}, "teachers.gemini.sdk: .*'vertex'"),
        ({"teachers.gemini.thinking": "low"}, "teachers.gemini: google-generativeai cannot do thinking: pip install"),
        (
            {"teachers.gemini.thinking": 0, "teachers.gemini.media_resolution": "low"},
            "thinking and media_resolution: .* -S teachers.gemini.sdk=google-genai",
        ),
        ({"teachers.gemini.batch": True}, "google-generativeai cannot do batch: pip install"),
        ({"teachers.gemini.thinking": "much"}, "teachers.gemini.thinking.*'much'"),
        ({"teachers.gemini.media_resolution": "ultra"}, "teachers.gemini.media_resolution: .*'ultra'"),
        ({"runtime.teacher.max_usd": 0}, "runtime.teacher.max_usd: .*greater than 0"),
        ({"teachers.gemini.prices.date": "once"}, "prices.date: .*'once'"),
        ({"teachers.openai.base_url": "localhost:8000"}, "teachers.openai.base_url: .*https.*'localhost:8000'"),
        ({"teachers.openai.key_variable": "a key"}, "teachers.openai.key_variable: .*'a key'"),
        ({"caption.max_failed": 1}, "caption.max_failed: .*less than 1"),
        ({"runtime.micro_batch": 0}, "runtime.micro_batch: .*greater than 0"),
        ({"runtime.teacher.concurrency": 0}, "runtime.teacher.concurrency: .*greater than 0"),
        ({"split.val": 0}, "split.val: .*greater than 0.*given: 0"),
        ({"distill.epoch": 3}, "distill.epoch: Extra inputs"),
        ({"mllms.tiny.dtype": "float16"}, "mllms.tiny.dtype: .*'float32' or 'bfloat16'.*'float16'"),
        ({"train.lr": "fast"}, "train.lr: .*valid number.*'fast'"),
        ({"datasets.folder.reader": "zip"}, "datasets.folder: .*'zip'"),
        ({"datasets.aigciqa2023.source": []}, "datasets.aigciqa2023.*source: .*at least 1 item"),
        ({"datasets.real.of": []}, "datasets.real.of: .*at least 1 item"),
        ({"datasets.real.of": ["clive", "real"]}, "datasets.real.of names 'real', which is joined itself; expected"),
        ({"datasets.real.of": ["clive", "koniq"]}, "datasets.real.of names 'koniq', which is not among datasets; exp"),
        ({"datasets.real.of": ["clive", "raise", "clive"]}, "datasets.real.*of names 'clive' twice"),
        ({"datasets.real.scale": [0, 5]}, "datasets.real.scale: Extra inputs"),
        (
            {"dataset": "real", "datasets.real.of": ["raise", "agiqa-3k"], "split.protocol": "published"},
            "split.protocol is published, and the lists of agiqa-3k hold where it is alone",
        ),
        ({"split.on": "clive"}, "split.on is 'clive', and dataset 'synthetic': expected nothing$"),
        (
            {"dataset": "real", "split.on": "koniq"},
            "split.on is 'koniq', and dataset 'real': expected nothing, or one of clive, raise, avt-ai",
        ),
        (
            {"dataset": "real", "split.on": "clive", "evaluate.on": "folder"},
            "split.on is 'clive', and .* expected nothing, or one of clive, raise, avt-ai without evaluate.on",
        ),
        ({"dataset": "real", "evaluate.on": "clive"}, "evaluate.on is 'clive', and 'real' has images of clive too"),
        ({"dataset": "clive", "evaluate.on": "real"}, "evaluate.on is 'real', and 'clive' has images of clive too"),
        ({"evaluate.on": "synthetic"}, "evaluate.on is 'synthetic', expected nothing or another data set: agiqa-3k"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(params, change, message):
    with pytest.raises(InputError, match=message) as error:
        settings.load(params(**change))
    assert "\n" not in str(error.value)


def test_a_number_as_dvc_writes_it_is_a_number(params):
    """`dvc exp run -S train.lr=1e-5` writes 1e-05, which YAML 1.1 reads as a string."""
    path = params(**{"train.lr": "LR"})
    path.write_text(path.read_text().replace("LR", "1e-05"))
    assert settings.load(path).train.lr == 1e-5


@pytest.mark.parametrize("text", ["a: [", "{", "- just\n- a list\n", ""])
def test_what_is_not_settings_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"params\.yaml"):
        settings.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="run from the project's folder"):
        settings.load(tmp_path / "params.yaml")


def test_setting_a_param_changes_one_line(tmp_path):
    """What `dvc exp run -S` leaves of a file that people read: comments stay where DVC's own writer keeps them."""
    before = PARAMS.read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(before, encoding="utf-8")
    with modify_yaml(str(path)) as params:
        params["aspect"] = "authenticity"
    after = path.read_text(encoding="utf-8")
    assert len(after.splitlines()) == len(before.splitlines())
    changed = [line for line, old in zip(after.splitlines(), before.splitlines(), strict=True) if line != old]
    assert [line.split()[:2] for line in changed] == [["aspect:", "authenticity"]]
