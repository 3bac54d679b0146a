"""Prompts that leave no room for what is to be said of their images."""

import pytest
from transformers import logging

from finetune.prompts import Asked, check_prompts
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.profile import Profile
from tests import tiny_mllm
from tests.tiny_mllm import picture

logging.disable_progress_bar()


def test_a_prompt_must_leave_room_for_all_texts(tmp_path):
    """It has room for one of 30 tokens, and for two of them none."""
    model = tiny_mllm.smolvlm(tmp_path / "model")
    chat, prompt = tiny_mllm.load(model).fitter.chat, "a cat " * 5
    alone = chat.image_length((32, 32)) + chat.length(conversation("quality", prompt), answer=True)
    profile = Profile(
        model=str(model), dtype="float32", max_length=alone + chat.second_question + 31, max_new_tokens=30
    )
    picture(0).save(tmp_path / "a.png")
    images = [Asked(tmp_path / "a.png", prompt)]
    check_prompts(images, [["quality"]], profile)
    with pytest.raises(InputError, match=r"a\.png .* max_new_tokens 30 for each of 2 aspects: shorten"):
        check_prompts(images, [["quality", "correspondence"]], profile)
