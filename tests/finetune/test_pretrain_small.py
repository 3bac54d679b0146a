"""The embedded model `small`: what is done to pictures, what is said of them, its eyes, its training step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save_model
from PIL import Image
from transformers import InternVLVisionModel

from finetune.pretrain.chats import pieces, rows
from finetune.pretrain.small.backbone import read_backbone
from finetune.pretrain.small.check import cases, marks, single_recipes
from finetune.pretrain.small.effects import EFFECTS, apply
from finetune.pretrain.small.model import (
    IMAGE_SIZE,
    IMAGE_STRING,
    IMAGE_TOKENS,
    SIDE,
    build_model,
    build_processor,
    config,
)
from finetune.pretrain.small.sights import measure
from finetune.pretrain.small.talk import NOTHING, chat, describe, effects, from_0_to_9
from finetune.pretrain.small.train import PROBE_WEIGHT, Trainee, eyes_rate, learners, rate, to_pixels
from finetune.pretrain.small.views import DEGREES, GROUPS, Picture, Recipe, draw, render
from finetune.pretrain.small.watch import ridge_srcc
from finetune.pretrain.tokenizer import build_tokenizer
from finetune.pretrain.training import Chats, train

JUDGEMENTS = {"good", "bad", "poor", "fair", "excellent", "beautiful", "ugly", "quality", "realistic", "fake"}
TURNS = [("What is to be seen?", "Slight blur and strong noise."), ("Sure?", "Yes.")]


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, 480)[None, :, None] + rng.normal(0, 12, (320, 480, 1)) + [[[20, 0, -20]]]
    return Picture(torch.from_numpy(ramp.clip(0, 255).astype(np.uint8)).permute(2, 0, 1), "photograph", "drawn")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return build_model(InternVLVisionModel(config().vision_config).state_dict())


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(["Slight blur and strong noise."] * 3)


def strengths(**wanted):
    return {name: torch.tensor(wanted.get(name.replace(" ", "_"), [0.0])) for name in EFFECTS}


@pytest.mark.parametrize("name", EFFECTS)
def test_the_stronger_an_effect_the_further_from_the_picture(picture, name):
    square = (picture.pixels[:, :320, :320] / 255).expand(4, -1, -1, -1)
    wanted = {each: torch.zeros(4) for each in EFFECTS}
    wanted[name] = torch.tensor([0.0, 0.01, 0.5, 1.0])
    seen = apply(square, wanted, torch.Generator().manual_seed(0))
    far = (seen - square).square().mean((1, 2, 3))
    assert far[0] == 0
    assert 0 < far[1] < far[2] < far[3]
    assert seen.min() >= 0
    assert seen.max() <= 1


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(200, 600), width=st.integers(200, 600))
def test_a_recipe_shows_a_part_that_is_there_and_one_effect_of_a_group_at_most(seed, height, width):
    recipe = draw(np.random.default_rng(seed), 3, (height, width))
    for group in GROUPS:
        assert sum(name in group for name in recipe.effects) <= 1
    for name, degree in recipe.degrees.items():
        low, high = DEGREES[degree]
        assert low <= recipe.effects[name] <= high
    if recipe.part is not None:
        top, left, side = recipe.part
        assert top >= 0
        assert left >= 0
        assert side > 0
        assert top + side <= height
        assert left + side <= width


def test_effects_do_not_touch_the_bars_that_make_a_picture_square(picture):
    recipes = [
        Recipe(0, None, turned=0, mirrored=False, effects=each) for each in ({}, {"noise": 1.0, "blue tint": 1.0})
    ]
    views = render([picture], recipes, torch.Generator().manual_seed(0))
    assert views.images.shape == (2, IMAGE_SIZE, IMAGE_SIZE, 3)
    clean, changed = views.images.int()
    outside = ~views.inside[0]
    assert outside.float().mean() == pytest.approx(1 / 3, abs=0.02)  # 480 x 320
    assert (clean - changed)[40:-40][~outside[40:-40]].abs().float().mean() > 10
    assert (clean - changed)[:60].abs().max() == 0
    mirrored = render([picture], [recipes[0]._replace(mirrored=True)], torch.Generator().manual_seed(0)).images[0]
    assert (mirrored.int() - clean.flip(1)).abs().max() <= 1
    turned = render([picture], [recipes[0]._replace(turned=2)], torch.Generator().manual_seed(0))
    assert measure(turned.images, turned.inside)[0].brightest == "on the left"


def test_what_is_seen_of_a_picture_is_measured(picture):
    views = render([picture], [Recipe(0, None, turned=0, mirrored=False, effects={})], torch.Generator().manual_seed(0))
    sight = measure(views.images, views.inside)[0]
    assert sight.shape == "wide"
    assert sight.brightest == "on the right"
    red = torch.zeros(1, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8)
    red[..., 0] = 200
    seen = measure(red, torch.ones(1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.bool))[0]
    assert (seen.shape, seen.colours, seen.detail) == ("square", ("red",), "hardly any")
    assert seen.brightest == "nowhere more than elsewhere"


def test_what_is_said_names_what_was_done_and_judges_nothing(picture):
    views = render([picture], [Recipe(0, None, turned=0, mirrored=False, effects={})], torch.Generator().manual_seed(0))
    sight = measure(views.images, views.inside)[0]
    recipe = Recipe(0, None, turned=0, mirrored=False, effects={"noise": 0.9, "blur": 0.1})
    assert effects(recipe) == "Slight blur and strong noise."
    assert effects(recipe._replace(effects={})) == NOTHING
    assert [from_0_to_9(recipe, name) for name in ("noise", "blur", "halos")] == ["8.", "2.", "0."]
    assert describe("photograph", sight, recipe).startswith("A photograph, wide. Mostly ")
    for seed in range(40):
        turns = chat("generated", sight, recipe, np.random.default_rng(seed))
        said = " ".join(turn.answer for turn in turns if not turn.question.startswith(("Repeat", "Say this")))
        assert not JUDGEMENTS & set(said.lower().replace(".", " ").replace(",", " ").split())


def test_right_answers_are_marked_right_and_silence_is_not(picture):
    rng = np.random.default_rng(1)
    recipes = single_recipes(rng, [picture], 1)
    kinds = ["photograph"] * len(recipes)
    views = render([picture], recipes[:1], torch.Generator().manual_seed(0))
    sights = measure(views.images, views.inside) * len(recipes)
    asked = cases(kinds, sights, recipes, rng)
    found = marks(asked, [case.right for case in asked], recipes, kinds)
    assert found["from 0 to 9"]["off by"] == 0
    assert found["kind"].pop("false alarms a view") == 0
    assert {value for group in ("kind", "degree", "facts", "questions") for value in found[group].values()} == {1.0}
    silent = marks(asked, [NOTHING] * len(asked), recipes, kinds)
    assert silent["kind"]["none, and none named"] == 1
    assert {value for name, value in silent["kind"].items() if name in EFFECTS} == {0.0}


def test_training_step_computes_what_the_model_computes(model):
    trainee = Trainee(model).eval()
    pixels = to_pixels(torch.randint(0, 256, (1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8))
    tokens = torch.full((1, 230), 7)
    tokens[:, 3 : 3 + IMAGE_TOKENS] = model.config.image_token_id
    with torch.no_grad():
        seen = trainee.look(pixels)
        hidden = trainee.read(seen, tokens)
        theirs = model.eval().model(input_ids=tokens, pixel_values=pixels, attention_mask=torch.ones_like(tokens))
        # A bright patch stands at one place for the taught and for the untouched eyes.
        spot = pixels.clone()
        spot[:, :, 28:56, 56:84] = 3
        places = [(look(spot) - look(pixels)).abs().mean(2).argmax().item() for look in (trainee.look, trainee.seen)]
    assert (hidden - theirs.last_hidden_state).abs().max() < 1e-5
    assert places == [IMAGE_TOKENS**0.5 + 2] * 2


def test_training_opens_the_eyes_late_and_leaves_the_untouched_ones(model, tokenizer):
    trainee = Trainee(model).train()
    before = {name: tensor.clone() for name, tensor in trainee.state_dict().items()}
    tokens, answers = (
        torch.from_numpy(each)[:, None] for each in rows([TURNS] * 2, tokenizer.backend_tokenizer, IMAGE_STRING, 240)
    )
    images = torch.randint(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    taught, how = Chats(images, tokens, answers), {"steps": 2, "batch": 1, "seed": 0, "seconds": 600.0}
    curve = train(learners(trainee), trainee, taught, probe_weight=PROBE_WEIGHT, checkpoint=print, **how)
    assert [row["step"] for row in curve] == [1, 2]
    after = trainee.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert any("language_model" in name for name in changed)
    assert any("vision_tower" in name for name in changed)
    assert not any(name.startswith("untouched") for name in changed)
    assert eyes_rate(0.1) == 0 < eyes_rate(0.4) < rate(0.4)
    count = sum(parameter.requires_grad for parameter in trainee.parameters())
    assert sum(len(learner.parameters) for learner in learners(trainee)) == count


def test_processor_writes_what_was_taught_and_distorts_nothing(tokenizer):
    processor = build_processor(tokenizer)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": TURNS[0][0]}]}]
    messages += [{"role": "assistant", "content": [{"type": "text", "text": TURNS[0][1]}]}]
    text = processor.apply_chat_template(messages, tokenize=False)
    wide = Image.new("RGB", (900, 300), (255, 0, 0))
    inputs = processor(text=[text], images=[wide], return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == tokenizer("".join(pieces(TURNS[:1], IMAGE_STRING)) + "\n")["input_ids"]
    assert inputs["pixel_values"].shape == (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    red = (inputs["pixel_values"][0, 0] > 2).sum(0)  # rows of the picture in each column: a third of them
    assert red.unique().tolist() == pytest.approx([IMAGE_SIZE / 3], abs=2)


def onnx_graph(path, width=8):
    """A graph with the names of the wheel's, one layer, four by four positions."""
    rng = np.random.default_rng(0)

    def given(name, *shape):
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    named = [given("backbone.encoder.layer.0.norm1.weight", width), given("onnx::MatMul_9", width, width)]
    named += [given("onnx::Concat_1957", 1, 1, width), given("onnx::Reshape_1962", 1, 16, width)]
    node = helper.make_node(
        "MatMul", ["x", "onnx::MatMul_9"], ["y"], name="/backbone/encoder/layer.0/attention/attention/query/MatMul"
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", "y")]
    save_model(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], named)), path)
    return {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in named}


def test_eyes_are_read_from_their_file_under_the_names_of_the_tower(tmp_path):
    stored = onnx_graph(tmp_path / "eyes.onnx")
    found = read_backbone(tmp_path / "eyes.onnx", 4)
    assert set(found) == {
        "encoder.layer.0.layernorm_before.weight",
        "encoder.layer.0.attention.q_proj.weight",
        "embeddings.position_embeddings",
    }
    assert torch.equal(found["encoder.layer.0.attention.q_proj.weight"], stored["onnx::MatMul_9"].T)
    positions = torch.cat([stored["onnx::Concat_1957"], stored["onnx::Reshape_1962"]], 1)
    assert torch.allclose(found["embeddings.position_embeddings"], positions, atol=1e-6)
    assert read_backbone(tmp_path / "eyes.onnx", 2)["embeddings.position_embeddings"].shape == (1, 5, 8)
    assert SIDE == 28


def test_a_ridge_tells_what_states_are_worth():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, 6))
    assert ridge_srcc(states, states @ rng.normal(size=6)) > 0.95
    assert abs(ridge_srcc(states, rng.normal(size=200))) < 0.3
