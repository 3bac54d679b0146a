"""The embedded model: its tokenizer, its chat template, its training step, and what it says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from data.synthetic.captions import converse
from data.synthetic.render import render
from data.synthetic.scenes import is_reserved
from finetune.pretrain.chats import pieces, rows
from finetune.pretrain.tiny.__main__ import quality_words
from finetune.pretrain.tiny.check import answer, held_out, read_caption, things
from finetune.pretrain.tiny.data import LENGTH, chat, corpus, draw, picture
from finetune.pretrain.tiny.model import IMAGE_STRING, IMAGE_TOKENS, build_model, refresh_unseen
from finetune.pretrain.tiny.train import PROBE_WEIGHT, Trainee, appearance, learning_rate, to_pixels
from finetune.pretrain.tokenizer import SPECIAL, build_tokenizer
from finetune.pretrain.training import Chats, Learner, train

FOLDER = Path(__file__).parents[2] / "models" / "tiny"
TURNS = [("What does it show? Ein Bär, 日本", "A red cube."), ("How many?", "One, I think."), ("Sure?", "Yes.")]


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32).eval()


TOKENIZER = AutoTokenizer.from_pretrained(FOLDER)
FRESH = build_tokenizer(["a red cube left of a blue ball"])


def conversation(turns):
    messages = []
    for place, (question, said) in enumerate(turns):
        image = [{"type": "image"}] if place == 0 else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": said}]})
    return messages


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_tokenizers_give_back_any_text(text):
    for tokenizer in (TOKENIZER, FRESH):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_words_of_the_later_task_are_one_token_each():
    for word in ("quality", "correspondence", "authenticity", "bad", "poor", "fair", "good", "excellent", "missing"):
        assert len(TOKENIZER(f" {word}")["input_ids"]) == 1, word


def test_template_writes_what_pretraining_wrote(processor):
    text = processor.apply_chat_template(conversation(TURNS), tokenize=False)
    inputs = processor(text=[text], images=[[Image.new("RGB", (50, 80))]], return_tensors="pt")
    whole = TOKENIZER("".join(pieces(TURNS, IMAGE_STRING)) + "\n")["input_ids"]
    assert inputs["input_ids"][0].tolist() == whole
    assert (inputs["input_ids"] == SPECIAL.index("<image>")).sum() == IMAGE_TOKENS
    assert inputs["pixel_values"].shape == (1, 1, 3, 192, 192)
    tokens, answers = rows([TURNS], TOKENIZER.backend_tokenizer, IMAGE_STRING, LENGTH)
    assert tokens[0, : len(whole) - 1].tolist() == whole[:-1]  # piece by piece as all at once
    assert (tokens[0, len(whole) - 1 :] == TOKENIZER.pad_token_id).all()
    assert TOKENIZER.decode(tokens[0][answers[0]]) == "".join(f" {said}<end_of_utterance>" for _, said in TURNS)


def test_assistant_mask_covers_the_answers_and_their_ends(processor):
    messages = conversation(TURNS)
    messages[0]["content"][0]["image"] = Image.new("RGB", (192, 192), "red")
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "return_assistant_tokens_mask": True}
    inputs = processor.apply_chat_template(messages, **options)
    said = inputs["input_ids"][0][inputs["assistant_masks"][0].bool()]
    assert TOKENIZER.decode(said) == "".join(f" {said}<end_of_utterance>" for _, said in TURNS)


def test_generation_prompt_ends_where_the_answer_begins(processor):
    asked = processor.apply_chat_template(conversation(TURNS)[:-1], tokenize=False, add_generation_prompt=True)
    whole = processor.apply_chat_template(conversation(TURNS), tokenize=False)
    assert whole == asked + " Yes.<end_of_utterance>\n"
    assert TOKENIZER.pad_token != TOKENIZER.eos_token


def test_checkpoint_is_small_and_complete(model):
    assert (FOLDER / "model.safetensors").stat().st_size <= 16 * 2**20
    assert sum(weight.numel() for weight in model.parameters()) <= 8.3e6
    assert model.generation_config.eos_token_id == TOKENIZER.eos_token_id
    assert model.config.text_config.max_position_embeddings >= 512
    assert {"README.md", "metrics.json", "training.csv"} <= {path.name for path in FOLDER.iterdir()}


def test_training_step_computes_what_the_model_computes(model):
    rng = np.random.default_rng(3)
    tokens = torch.from_numpy(
        rows(
            [draw(rng, reserved=False, chats=1)[1][0] for _ in range(2)],
            TOKENIZER.backend_tokenizer,
            IMAGE_STRING,
            LENGTH,
        )[0]
    ).long()
    pixels = to_pixels(torch.from_numpy(rng.integers(0, 256, (2, 192, 192, 3), dtype=np.uint8)))
    trainee = Trainee(model)
    with torch.inference_mode():
        ours = model.lm_head(trainee.read(trainee.look(pixels), tokens))
        theirs = model(input_ids=tokens, pixel_values=pixels[:, None]).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_names_the_things_in_combinations_it_never_saw(model):
    cases = held_out(6, seed=11)
    images = render([layout for layout, _ in cases], 192)
    captions = answer(model, TOKENIZER, images, [[("Describe the image.", "")]] * len(cases))
    marks = [read_caption(said, layout, "") for said, (layout, _) in zip(captions, cases, strict=True)]
    assert np.mean([right for mark in marks for right in mark["objects"]]) >= 0.75, captions
    assert np.mean([right for mark in marks for right in mark["colours"]]) >= 0.7, captions


def test_pretraining_text_judges_nothing_and_shows_nothing_reserved():
    assert quality_words(list(corpus(300, seed=5))) == {}
    assert quality_words(["A poor copy, poor and bad"]) == {"bad": 1, "poor": 2}
    rng = np.random.default_rng(0)
    assert not any(is_reserved(picture(rng, reserved=False)[1].groups) for _ in range(50))
    assert all(is_reserved(layout.groups) for layout, _ in held_out(50, seed=0))


def test_chats_vary_the_questions_and_keep_the_answers():
    rng = np.random.default_rng(1)
    first = set()
    for _ in range(60):
        scene, layout = picture(rng, reserved=False)
        turns, more = converse(layout, scene, rng), converse(layout, scene, rng)
        said = chat(turns, more, rng)
        assert {told for _, told in turns} <= {told for _, told in said}
        assert not any("{}" in question for question, _ in said)
        first.add(re.sub(r'".*"', '"…"', said[0][0]))
    assert len(first) > 12


def test_turns_that_do_not_fit_are_left_out_whole():
    long = ("Q " * 100, "word " * 120)
    tokens, answers = rows([[TURNS[0], long, TURNS[2]]], TOKENIZER.backend_tokenizer, IMAGE_STRING, LENGTH)
    assert TOKENIZER.decode(tokens[0][answers[0]]) == " A red cube.<end_of_utterance> Yes.<end_of_utterance>"
    assert tokens.shape == (1, LENGTH)


def test_captions_are_read_by_their_grammar():
    layout, turns = next((layout, turns) for layout, turns in held_out(50, 2) if len(layout.groups) > 1)
    truth = next(told for question, told in turns if question.startswith("Describe"))
    assert all(all(values) for values in read_caption(truth, layout, truth).values())
    group = layout.groups[0]
    wrong = read_caption(truth.replace(group.colour, "pink"), layout, truth)
    assert not all(wrong["colours"])
    assert wrong["all_things"] == [False]
    assert things("two white snowmen and an orange car") == {("white", "snowman"): 2, ("orange", "car"): 1}


def test_appearance_measures_fine_structure():
    flat = torch.zeros(1, 3, 192, 192)
    noisy = flat + 0.1 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    quiet, loud = appearance(flat), appearance(noisy)
    assert quiet.shape == loud.shape == (1, IMAGE_TOKENS, Trainee(build_model()).probe.out_features)
    assert (loud[..., 192:] > quiet[..., 192:]).all()


def test_training_learns_and_keeps_its_curve():
    torch.manual_seed(0)
    rng = np.random.default_rng(2)
    tokens, answers = (
        torch.from_numpy(x)[:, None] for x in rows([TURNS] * 2, TOKENIZER.backend_tokenizer, IMAGE_STRING, LENGTH)
    )
    images = torch.from_numpy(rng.integers(0, 256, (2, 192, 192, 3), dtype=np.uint8))
    trainee = Trainee(build_model()).train()
    chats = Chats(images, tokens[..., :96], answers[..., :96])
    learners = [Learner(list(trainee.parameters()), learning_rate)]
    how = {"steps": 6, "batch": 2, "seed": 0, "seconds": 60.0, "checkpoint": print}
    curve = train(learners, trainee, chats, probe_weight=PROBE_WEIGHT, **how)
    assert [row["step"] for row in curve] == [1, 6]
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.5
    assert learning_rate(0.0) == pytest.approx(0.0)
    assert learning_rate(1.0) == pytest.approx(0.0)
    model, seen = trainee.model, torch.zeros(2048, dtype=torch.bool)
    seen[:300] = True
    before = model.get_input_embeddings().weight.detach().clone()
    refresh_unseen(model, seen, seed=0)
    after = model.get_input_embeddings().weight.detach()
    assert torch.equal(after[:300], before[:300])
    assert not torch.isclose(after[300:], before[300:]).all(1).any()
