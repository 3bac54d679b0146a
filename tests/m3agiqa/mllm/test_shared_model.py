"""One model under several adapters: each says and sees, to the last bit, what it does alone."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import conversation
from tests import tiny_mllm
from tests.tiny_mllm import LANGUAGE_LORA, load, lora, picture, texts_of

IMAGES = [picture(seed) for seed in range(3)]
ASKED = [conversation("quality", prompt) for prompt in ("a red cube", "", "two balls and a cone")]
SETTINGS = {
    "one": {"r": 2, "alpha": 4},
    "two": {"r": 3, "alpha": 1.5, "targets": LANGUAGE_LORA.replace("[qkvo]_proj", "[qv]_proj")},
}


def save(model, folder, seed=0, **settings):
    """An adapter that says something, in `folder`."""
    fresh = load(model)
    fresh.add_lora(lora(**settings), seed=seed)
    with torch.no_grad():
        for name, weight in fresh.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
    adapters.save(fresh.model, folder)
    return folder


@pytest.fixture(scope="module", params=["smolvlm", "llava", "qwen3_vl", "minicpm_v_4_6"])
def made(request, tmp_path_factory):
    """A model, and two adapters of different sizes on different layers."""
    folder = tmp_path_factory.mktemp("made")
    model = getattr(tiny_mllm, request.param)(folder / "model")
    return model, {name: save(model, folder / name, seed, **SETTINGS[name]) for seed, name in enumerate(SETTINGS)}


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smolvlm")
    model = tiny_mllm.smolvlm(folder / "model")
    return model, save(model, folder / "adapter")


def seen(mllm):
    """All that an MLLM makes of the images, as bits."""
    said = texts_of(mllm, IMAGES, ASKED, 8)
    asked = [conversation("quality", "", text) for text in said]
    return said, [(each.word, each.expected, each.states.tolist()) for each in mllm.read(IMAGES, asked)]


def test_each_adapter_and_none_act_as_they_do_alone(made):
    model, folders = made
    alone = {name: load(model, adapter=folder) for name, folder in folders.items()} | {"none": load(model)}
    expected = {name: seen(mllm) for name, mllm in alone.items()}
    assert len({str(found) for found in expected.values()}) == 3
    for first in ("none", "one"):  # the one that comes first is no other than the rest
        base = load(model)
        order = sorted(alone, key=lambda name: name != first)
        shared = {name: base.sharing(name, folders.get(name)) for name in order}
        assert len({id(mllm._network) for mllm in shared.values()}) == 1
        for name in (*order, *reversed(order)):
            assert seen(shared[name]) == expected[name]
            assert shared[name].identity == alone[name].identity


def test_a_pass_may_come_between_ones_own_two(smolvlm):
    model, folder = smolvlm
    base = load(model)
    adapted, bare = base.sharing("one", folder), base.sharing("two", None)
    expected = seen(load(model, adapter=folder))
    questions = adapted.questions(IMAGES, ASKED, 8)
    texts_of(bare, IMAGES, ASKED, 8)
    said = [written.text for written in adapted.answers(questions, 8)]
    asked = [conversation("quality", "", text) for text in said]
    inputs = adapted.inputs(IMAGES, asked)
    texts_of(bare, IMAGES, ASKED, 8)
    readings = adapted.read_inputs(inputs)
    assert (said, [(each.word, each.expected, each.states.tolist()) for each in readings]) == expected


def test_a_name_is_taken_once(smolvlm):
    model, folder = smolvlm
    base = load(model)
    base.sharing("one", folder)
    with pytest.raises(ValueError, match="two adapters called one"):
        base.sharing("one", folder)


def test_the_views_that_are_taken_belong_to_the_identity(smolvlm):
    model, folder = smolvlm
    views = {"max_length": 60, "fewer_views": [{"do_image_splitting": False}]}
    shared = load(model, **views).sharing("one", folder)
    assert shared.identity == load(model, adapter=folder, **views).identity != load(model, adapter=folder).identity


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda *_: {}, "for another model"),
        (lambda name, weight: {name: weight, name.replace(".0.", ".9."): weight.clone()}, "for another model"),
        (lambda name, weight: {name: torch.cat([weight, weight])}, "cannot be used"),
        (lambda name, weight: {name: weight * torch.nan}, "not finite"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_beside_another(smolvlm, tmp_path, change, complaint):
    model, folder = smolvlm
    weights = load_file(folder / adapters.WEIGHTS)
    first = min(weights)
    save_file(
        {key: value for key, value in weights.items() if key != first} | change(first, weights[first]),
        tmp_path / adapters.WEIGHTS,
    )
    (tmp_path / adapters.SETTINGS).write_bytes((folder / adapters.SETTINGS).read_bytes())
    base = load(model)
    good = base.sharing("good", folder)
    with pytest.raises(InputError, match=complaint):
        base.sharing("bad", tmp_path)
    assert seen(good) == seen(load(model, adapter=folder))


def test_what_changes_the_model_itself_is_not_plain(smolvlm, tmp_path):
    _, folder = smolvlm
    settings = json.loads((folder / adapters.SETTINGS).read_text())
    assert adapters.is_plain(folder)
    assert not adapters.is_plain(tmp_path)
    changes = {"modules_to_save": ["lm_head"], "bias": "all", "init_lora_weights": "pissa", "peft_type": "VERA"}
    changes |= {"layer_replication": [[0, 2]], "target_parameters": ["weight"], "of_another_peft": True}
    for name, value in changes.items():
        (tmp_path / adapters.SETTINGS).write_text(json.dumps(settings | {name: value}))
        assert not adapters.is_plain(tmp_path), name
    for text in ("[]", "no JSON"):
        (tmp_path / adapters.SETTINGS).write_text(text)
        assert not adapters.is_plain(tmp_path)
