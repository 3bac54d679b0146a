"""The reward function in TRL's own trainers: a language model in miniature writes prompts, and is rewarded for them."""

from zlib import crc32

import pytest

from m3agiqa.errors import InputError
from m3agiqa.plugs.trl import ImageReward
from tests.tiny_mllm import picture, tokenizer

trl = pytest.importorskip("trl", reason="trl is in requirements-dev.txt")
datasets = pytest.importorskip("datasets", reason="datasets comes with trl")

# TRL's own, about how it calls transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

IDEAS = ["a red cube", "", "two balls", "a cone"]
TRAINERS = {"grpo": (trl.GRPOTrainer, trl.GRPOConfig), "rloo": (trl.RLOOTrainer, trl.RLOOConfig)}


class Maker:
    """Makes of each text a picture of its own, and remembers which it made."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, prompts):
        self.asked += prompts
        return [picture(crc32(prompt.encode())) for prompt in prompts]


@pytest.fixture
def trained(language_model, tmp_path):
    """Train a fresh language model for a step; the trainer, and how far its weights have moved."""

    def trained(reward, kind="grpo", rows=None):
        model = language_model()
        before = [weight.detach().clone() for weight in model.parameters()]
        trainer_class, config_class = TRAINERS[kind]
        settings = config_class(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=6,
            max_steps=1,
            learning_rate=0.1,
            beta=0.0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            seed=0,
        )
        trainer = trainer_class(
            model,
            reward,
            settings,
            train_dataset=datasets.Dataset.from_list(rows or [{"prompt": "write: ", "idea": idea} for idea in IDEAS]),
            processing_class=tokenizer(),
        )
        trainer.train()
        moved = sum((now - then).abs().sum().item() for now, then in zip(model.parameters(), before, strict=True))
        return trainer, moved

    return trained


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_model_is_trained_by_the_scores_of_what_is_made_of_its_words(scorer, trained, kind):
    maker = Maker()
    trainer, moved = trained(ImageReward(scorer, maker, aspect="quality"), kind)
    assert len(set(maker.asked)) > 1
    images = [picture(crc32(prompt.encode())) for prompt in maker.asked]
    expected = [score.score_0_5 for score in scorer(images, maker.asked, aspect="quality")]
    assert trainer.state.log_history[0]["rewards/quality/mean"] == pytest.approx(sum(expected) / 4, abs=1e-4)
    assert moved > 0


@pytest.mark.parametrize("kind", TRAINERS)
def test_images_without_a_score_teach_nothing(scorer, trained, kind):
    """Correspondence to a prompt that is not known: TRL takes None for no reward, and not for a bad one."""
    reward = ImageReward(scorer, Maker(), aspect="correspondence", wanted="idea")
    trainer, moved = trained(reward, kind, rows=[{"prompt": "write: ", "idea": ""}])
    assert trainer.state.log_history[0]["rewards/correspondence/mean"] is None
    assert moved == 0
    assert list(trainer._logs["extra"]["correspondence_status"]) == ["refused: correspondence needs the prompt"] * 4


@pytest.mark.parametrize("kind", TRAINERS)
def test_one_without_a_score_is_left_out_of_its_group(scorer, trained, kind):
    """Neither moved itself, nor counted in the mean that the others are compared with."""
    pictures = [picture(1), b"no image", picture(2), picture(3)]
    reward = ImageReward(scorer, lambda _: pictures, aspect="quality")
    trainer, _ = trained(reward, kind)
    advantages = list(trainer._logs["advantages"])
    assert advantages[1] == 0
    assert sum(advantages) == pytest.approx(0, abs=1e-4)
    rewards = reward(completions=[""] * 4)
    assert rewards[1] is None
    of_others = sorted((0, 2, 3), key=rewards.__getitem__)
    assert of_others == sorted((0, 2, 3), key=advantages.__getitem__)


def test_a_conversations_last_message_is_the_prompt(scorer):
    maker = Maker()
    reward = ImageReward(scorer, maker, aspect="quality")
    parts = [{"type": "text", "text": "a red "}, {"type": "text", "text": "cube"}]
    said = [[{"role": "assistant", "content": "hm"}, {"role": "assistant", "content": text}] for text in ("x", parts)]
    assert reward(completions=said) == reward(completions=["x", "a red cube"])
    assert maker.asked == ["x", "a red cube"] * 2


def test_it_is_judged_by_what_was_wanted(scorer):
    """And not by what was made of it, where that is said: else a model learns to want what is easy."""
    texts, ideas = ["x", "some words"], ["a red cube", "two balls, at night"]
    pictures = [picture(crc32(text.encode())) for text in texts]
    reward = ImageReward(scorer, Maker(), aspect="correspondence", wanted="idea")
    found = reward(completions=texts, idea=ideas)
    assert found == [score.score_0_5 for score in scorer(pictures, ideas, aspect="correspondence")]
    assert found != [score.score_0_5 for score in scorer(pictures, texts, aspect="correspondence")]


def test_what_is_refused(scorer):
    with pytest.raises(InputError, match="aspect 'authenticity' is not here"):
        ImageReward(scorer, Maker(), aspect="authenticity")
    with pytest.raises(InputError, match="the data set has no column 'idea'"):
        ImageReward(scorer, Maker(), aspect="quality", wanted="idea")(completions=["x"], prompts=["y"])
    with pytest.raises(InputError, match="1 images were made of 2 prompts, expected one of each"):
        ImageReward(scorer, lambda _: [picture(0)], aspect="quality")(completions=["x", "y"])
    with pytest.raises(InputError, match="images: expected a list of them, not an Image"):
        ImageReward(scorer, lambda _: picture(0), aspect="quality")(completions=["x"])
