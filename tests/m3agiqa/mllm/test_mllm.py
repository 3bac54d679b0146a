"""Every architecture describes, reads and learns alike: alone or in a batch, and nothing that does not fit."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import RATING_WORDS, conversation
from tests import tiny_mllm
from tests.rated import ASK, DESCRIPTIONS, IMAGES, RATE, WHOLE, WORDS, states_of
from tests.tiny_mllm import load, lora, texts_of, training_batch


def test_threads_do_not_change_each_others_padding(mllm):
    """One makes questions, padded on the left, one conversations, on the right, and one counts tokens."""
    work = [
        lambda: mllm.questions(IMAGES, ASK, 8)[0].tensors["input_ids"],
        lambda: mllm.inputs(IMAGES, RATE)[0].tensors["input_ids"],
        lambda: torch.tensor([mllm._chat.length(messages, answer=True) for messages in RATE]),
    ]
    alone = [make() for make in work]
    with ThreadPoolExecutor(4) as pool:
        for turn, found in enumerate(pool.map(lambda turn: work[turn % 3](), range(60))):
            assert torch.equal(found, alone[turn % 3])


def test_describe_in_a_batch_is_describe_alone(mllm):
    together = texts_of(mllm, IMAGES, ASK, 12)
    alone = [texts_of(mllm, [image], [ask], 12)[0] for image, ask in zip(IMAGES, ASK, strict=True)]
    assert together == alone
    assert len(set(together)) > 1  # it looks at what it is given


def test_describe_with_cache_is_greedy_search_without(mllm):
    for image, ask in zip(IMAGES, ASK, strict=True):
        batch = mllm._chat.tensors([image], [ask], padding_side="left", answer=True)
        ids, new = batch["input_ids"], []
        while len(new) < 8 and (not new or new[-1] not in mllm._chat.ends):
            grown = {**batch, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if "mm_token_type_ids" in batch:
                kinds = batch["mm_token_type_ids"]
                grown["mm_token_type_ids"] = torch.nn.functional.pad(kinds, (0, ids.shape[1] - kinds.shape[1]))
            with torch.no_grad():
                new.append(int(mllm.model(**grown, use_cache=False).logits[0, -1].argmax()))
            ids = torch.cat([ids, torch.tensor([new[-1:]])], dim=1)
        assert texts_of(mllm, [image], [ask], 8) == [
            mllm.processor.tokenizer.decode(new, skip_special_tokens=True).strip()
        ]


def test_vision_is_what_the_language_model_is_shown_of_the_image(mllm):
    """The image's vectors are found here by their values, of which none is the embedding of its token."""
    together = mllm.read_inputs(mllm.inputs(IMAGES, RATE), vision=True)
    for image, messages, reading in zip(IMAGES, RATE, together, strict=True):
        batch = mllm._chat.tensors([image], [messages], padding_side="right", answer=True)
        with torch.no_grad():
            embedded = mllm._network.get_input_embeddings()(batch["input_ids"])[0]
            given = mllm._network.base_model(**batch, use_cache=False, output_hidden_states=True).hidden_states[0][0]
        seen = given[(given != embedded).any(dim=1)]
        assert 1 < len(seen) <= len(given) - mllm._chat.length(messages, answer=True) + 1  # marks stand beside some
        expected = torch.cat([seen.mean(dim=0), seen.var(dim=0, correction=0).sqrt()])
        torch.testing.assert_close(reading.vision, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0].vision, together[1].vision, atol=1e-4)


def test_vision_knows_no_word(mllm):
    said = [
        conversation("quality", "a cat", "Sharp."),
        conversation("correspondence", "", "Not what was asked for."),
    ]
    one, other = mllm.read_inputs(mllm.inputs(IMAGES[:1] * 2, said), vision=True)
    torch.testing.assert_close(one.vision, other.vision, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(one.states[-1], other.states[-1], atol=1e-3)


def test_vision_is_there_where_it_is_asked_for_and_the_model_names_its_token(folders):
    told, silent = load(folders["minicpm"]), load(folders["minicpm"])
    vars(silent.model.config)["image_token_id"] = None  # by which this network does not go
    asked = [mllm.read_inputs(mllm.inputs(IMAGES, RATE), vision=True) for mllm in (silent, told)]
    ways = [told.read(IMAGES, RATE), *asked]
    assert [[reading.vision is None for reading in way] for way in ways] == [[True] * 4, [True] * 4, [False] * 4]
    for plain, *others in zip(*ways, strict=True):
        assert all(torch.equal(plain.states, other.states) for other in others)


@pytest.mark.parametrize(
    "recommended",
    [
        {"do_sample": True, "temperature": 5.0, "top_k": 0},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"num_beams": 3, "early_stopping": True},
        {"suppress_tokens": list(range(4, 400))},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_repositorys_own_way_of_generating_is_not_taken(folders, tmp_path, recommended):
    folder = shutil.copytree(folders["smolvlm"], tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | recommended))
    assert texts_of(load(folder), IMAGES, ASK, 12) == texts_of(load(folders["smolvlm"]), IMAGES, ASK, 12)


def test_reading_does_not_depend_on_neighbours(mllm):
    together = mllm.read(IMAGES, RATE)
    for image, messages, reading in zip(IMAGES, RATE, together, strict=True):
        (alone,) = mllm.read([image], [messages])
        assert alone.word == reading.word
        torch.testing.assert_close(alone.states, reading.states, atol=1e-5, rtol=1e-5)
        assert alone.description == reading.description


def test_a_reading_tells_where_the_description_stands(mllm):
    batch = mllm._chat.tensors(IMAGES, RATE, padding_side="right", answer=True)
    for row, (text, reading) in enumerate(zip(DESCRIPTIONS, mllm.read(IMAGES, RATE), strict=True)):
        *said, end = batch["input_ids"][row, slice(*reading.description)].tolist()
        assert "".join(mllm.processor.tokenizer.decode(said).split()) == "".join(
            mllm._chat._plain({"type": "text", "text": text})["text"].split()
        )
        assert end in mllm._chat.ends


def test_states_are_what_the_vocabulary_head_sees(mllm):
    batch = mllm._chat.tensors(IMAGES[:1], RATE[:1], padding_side="right", answer=True)
    with torch.no_grad():
        logits = mllm.model(**batch).logits[0]
    (reading,) = mllm.read(IMAGES[:1], RATE[:1])
    assert reading.states.shape == (batch["input_ids"].shape[1], mllm.hidden_size)
    torch.testing.assert_close(mllm.model.get_output_embeddings()(reading.states), logits, atol=1e-4, rtol=1e-4)
    tokens = mllm.word_tokens
    assert reading.word == RATING_WORDS[logits[-1, tokens].argmax()]
    middles = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5])
    assert reading.expected == pytest.approx(float(logits[-1, tokens].softmax(dim=0) @ middles), abs=1e-4)


def test_states_change_with_the_image_and_each_text(mllm):
    (states,) = states_of(mllm, [IMAGES[0]], [conversation("quality", "a red cube", "Sharp.")])
    for image, texts in [
        (IMAGES[2], ("quality", "a red cube", "Sharp.")),
        (IMAGES[0], ("quality", "a red cone", "Sharp.")),
        (IMAGES[0], ("quality", "a red cube", "Soft..")),
    ]:
        (other,) = states_of(mllm, [image], [conversation(*texts)])
        assert not torch.allclose(states[-1], other[-1], atol=1e-4)


def test_labels_are_the_assistants_turns(mllm):
    batch = training_batch(mllm, list(zip(IMAGES, WHOLE, strict=True)))
    for labels, ids, mask, texts in zip(
        batch["labels"], batch["input_ids"], batch["attention_mask"], zip(DESCRIPTIONS, WORDS, strict=True), strict=True
    ):
        learned = labels != -100
        assert torch.equal(labels[learned], ids[learned])
        assert bool(mask[learned].all())
        turns = _runs(labels.tolist())
        assert all(end in mllm._chat.ends for *_, end in turns)
        said = [mllm.processor.tokenizer.decode(turn).strip() for *turn, _ in turns]
        assert said == [mllm._chat._plain({"type": "text", "text": text})["text"] for text in texts]


def test_training_sees_what_reading_sees(mllm):
    """Without the word, a training sequence is token for token the one that states are read from."""
    trained = training_batch(mllm, [(IMAGES[1], WHOLE[1])])["input_ids"][0]
    read = mllm._chat.tensors([IMAGES[1]], [RATE[1]], padding_side="right", answer=True)["input_ids"][0]
    assert torch.equal(trained[: len(read)], read)
    assert int(trained[len(read)]) == mllm.word_tokens[RATING_WORDS.index(WORDS[1])]
    begin = mllm.processor.tokenizer.bos_token_id
    assert read[:2].tolist().count(begin) == 1  # the template's, and not the tokenizer's as well


def test_bfloat16_reads_about_the_same(folders):
    exact, rounded = load(folders["smolvlm"]), load(folders["smolvlm"], dtype="bfloat16")
    (states,), (other,) = states_of(exact, IMAGES[:1], RATE[:1]), states_of(rounded, IMAGES[:1], RATE[:1])
    assert other.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(states, other.float()).min() > 0.9


def test_a_sequence_that_does_not_fit_is_refused(smolvlm):
    (states,) = states_of(smolvlm, IMAGES[:1], RATE[:1])
    tokens = len(states)
    smolvlm.max_length = tokens
    smolvlm.read(IMAGES[:1], RATE[:1])
    smolvlm.max_length = tokens - 1
    for refused in (
        lambda: smolvlm.read(IMAGES[:1], RATE[:1]),
        lambda: training_batch(smolvlm, [(IMAGES[0], WHOLE[0])]),
        lambda: texts_of(smolvlm, IMAGES[:1], ASK[:1], 200),
    ):
        with pytest.raises(InputError, match=f"tokens.* max_length {tokens - 1}.*a red cube"):
            refused()


def test_words_that_begin_alike_are_refused(smolvlm, monkeypatch):
    monkeypatch.setattr("m3agiqa.mllm.rating.RATING_WORDS", ("bad", "badly"))
    with pytest.raises(InputError, match="two rating words"):
        smolvlm.read(IMAGES[:1], RATE[:1])


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (tiny_mllm.SMOLVLM_TEMPLATE.replace("<end_of_utterance>", ""), "does not end an answer"),
        (
            tiny_mllm.SMOLVLM_TEMPLATE.replace(
                "<end_of_utterance>", "{% if loop.last and not add_generation_prompt %}<end_of_utterance>{% endif %}"
            ),
            "does not end an answer",
        ),
        (tiny_mllm.SMOLVLM_TEMPLATE.replace("}Assistant:{", "}Assistant: I think{"), "otherwise than it asks"),
    ],
)
def test_a_template_that_cannot_be_learned_from_is_refused(tmp_path, template, complaint):
    mllm = load(tiny_mllm.smolvlm(tmp_path / "model", template))
    with pytest.raises(InputError, match=complaint):
        training_batch(mllm, [(IMAGES[0], WHOLE[0])])


def test_settings_that_do_not_fit_are_refused(folders, tmp_path, smolvlm):
    (tmp_path / "empty").mkdir()
    broken = shutil.copytree(folders["smolvlm"], tmp_path / "broken")
    (broken / "config.json").write_text("{}")
    cut = shutil.copytree(folders["smolvlm"], tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    for settings, complaint in [
        ({"folder": "nobody/nothing"}, "needs a revision"),
        ({"folder": tmp_path / "empty"}, "cannot be loaded"),
        ({"folder": broken}, "cannot be loaded"),
        ({"folder": cut}, "cannot be loaded"),
        ({"max_length": 1000}, "512 positions"),
        ({"adapter": tmp_path / "empty"}, "adapter_config.json and adapter_model.safetensors missing"),
    ]:
        with pytest.raises(InputError, match=complaint) as caught:
            load(**{"folder": folders["smolvlm"], **settings})
        assert "\n" not in str(caught.value)
    for targets, modules, complaint in [
        ("nothing", [], "LoRA targets"),
        (["q_proj"], ["resampler"], "no module resampler"),
    ]:
        with pytest.raises(InputError, match=complaint):
            smolvlm.add_lora(lora(targets=targets, modules_to_save=modules), seed=0)


def _runs(labels):
    """The stretches of learned tokens."""
    runs, run = [], []
    for label in [*labels, -100]:
        if label != -100:
            run.append(label)
        elif run:
            runs.append(run)
            run = []
    return runs
