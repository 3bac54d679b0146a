"""The rating word is learned as shares of five words: their shape, their weight in the loss, and what they teach."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from finetune.distill.words import word_shares
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, conversation, word_of
from tests.distilled import IMAGES, run, student
from tests.tiny_mllm import Taught, collator, lora

MOS = st.floats(0, 5)


@given(MOS, st.floats(0.01, 5))
def test_shares_are_a_distribution_whose_peak_is_the_mos(mos, spread):
    shares = word_shares(mos, spread)
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    nearest = min(abs(mos - middle) for middle in WORD_MIDDLES)
    assert abs(mos - WORD_MIDDLES[shares.argmax()]) == pytest.approx(nearest)


@given(st.floats(0.5, 4.5), st.floats(0.4, 0.8))
def test_the_mean_of_the_words_is_nearly_the_mos(mos, spread):
    """So that what is learned is the MOS; at the scale's ends a word has no neighbour on one side."""
    assert word_shares(mos, spread) @ WORD_MIDDLES == pytest.approx(mos, abs=0.45)
    if 1.5 <= mos <= 3.5 and spread <= 0.6:
        assert word_shares(mos, spread) @ WORD_MIDDLES == pytest.approx(mos, abs=0.1)


@given(MOS)
def test_without_a_spread_it_is_the_words_own(mos):
    assert list(word_shares(mos, 0.0)) == [word == word_of(mos) for word in RATING_WORDS]


@pytest.mark.parametrize("mos", [-0.1, 5.1, float("nan")])
def test_a_mos_off_the_scale_has_none(mos):
    with pytest.raises(InputError, match="no rating word"):
        word_shares(mos, 0.5)


def test_the_loss_is_the_mean_over_tokens_and_weighted_words(model, tmp_path):
    """Against transformers' own logits, for one batch of two examples of unequal length."""
    mllm, weight, spread = student(model), 12.0, 0.5
    chats = [conversation("quality", "x", text, word) for text, word in (("It is dark.", "bad"), ("Good.", "good"))]
    val = list(zip(IMAGES[:2], chats, strict=True))
    (loss,) = run(
        model, tmp_path, mllm, train=val, val=val, epochs=1, word_weight=weight, word_spread=spread
    ).val_loss.dropna()
    (batch,) = collator(mllm)(Taught(val))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    mllm.model.eval()
    with torch.no_grad():
        likely = mllm.model(**inputs).logits.log_softmax(dim=2)  # (B, T, V)
    total, tokens = 0.0, 0.0
    for row, mos in enumerate((0.5, 3.5)):
        for at in range(1, likely.shape[1]):
            if (token := int(batch["labels"][row, at])) != -100:
                total, tokens = total - float(likely[row, at - 1, token]), tokens + 1
        words = likely[row, batch["word_at"][row] - 1, mllm.word_tokens]
        total -= weight * float(words.double() @ torch.tensor(word_shares(mos, spread)))
        tokens += weight
    assert loss == pytest.approx(total / tokens, abs=1e-5)


def test_the_word_stands_where_the_batch_says(model):
    mllm = student(model)
    texts = ("It is", "It is so", "It is so so")
    examples = Taught(
        (image, conversation("quality", "x", text, "fair")) for image, text in zip(IMAGES[:3], texts, strict=True)
    )
    (batch,) = collator(mllm, 5.0, 0.5)(examples)
    for row in range(3):
        at = batch["word_at"][row]
        assert batch["input_ids"][row, at] == mllm.word_tokens[RATING_WORDS.index("fair")]
        assert batch["labels"][row, at] == -100
        assert batch["labels"][row, at + 1] != -100  # the end of the turn is learned as before
    assert all(tensor.is_contiguous() for tensor in batch.values())  # else a GPU's reader cannot pin them
    assert batch["word_weights"].sum(dim=1).tolist() == pytest.approx([5.0] * 3)


def test_shares_teach_more_than_the_word(model, tmp_path):
    """Images of two scores within one word: their expected words end apart, and in the right order."""
    mllm = student(model, adapter=None)
    mllm.add_lora(lora(r=8, alpha=16, targets=r".*text_model.*_proj"), seed=0)
    chat = conversation("quality", "x", "It is so.", "fair")
    train = Taught((image, chat) for image in IMAGES[:8])
    train[:] = [each._replace(mos=2.05 if row % 2 else 2.95) for row, each in enumerate(train)] * 8
    run(model, tmp_path, mllm, train=train, val=train, epochs=1, lr=3e-2, word_weight=20.0, word_spread=0.5)
    taught = student(model, adapter=tmp_path / "adapter")
    expected = [each.expected for each in taught.read(IMAGES[:8], [chat[:3]] * 8)]
    assert max(expected[1::2]) < min(expected[::2])
