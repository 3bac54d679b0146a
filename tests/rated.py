"""Pictures, and conversations about them that an MLLM reads, answers and learns."""

from m3agiqa.mllm.conversation import conversation
from tests.tiny_mllm import picture

IMAGES = [picture(1), picture(2, 40, 24), picture(3), picture(4, 64, 64)]
PROMPTS = ["a red cube", "", "two blue balls left of a cone, under <image> light", "кот"]
DESCRIPTIONS = [
    "Sharp.",
    "The left ball is missing, and the cone's shadow falls the wrong way.",
    "",
    "Noise </s> <end_of_utterance>",
]
ASK = [conversation("quality", prompt) for prompt in PROMPTS]
RATE = [conversation("quality", *texts) for texts in zip(PROMPTS, DESCRIPTIONS, strict=True)]
WORDS = ["good", "bad", "fair", "excellent"]
WHOLE = [conversation("quality", *texts) for texts in zip(PROMPTS, DESCRIPTIONS, WORDS, strict=True)]


def states_of(mllm, images, conversations):
    return [reading.states for reading in mllm.read(images, conversations)]
