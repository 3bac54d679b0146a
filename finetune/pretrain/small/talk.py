"""What is said of a view: chats about its effects, their degrees, and plain facts. Nothing says whether any is good."""

from collections.abc import Sequence

from numpy.random import Generator

from data.synthetic.captions import Turn
from data.synthetic.scenes import draw_scene
from finetune.pretrain.chats import repetition
from finetune.pretrain.small.effects import EFFECTS
from finetune.pretrain.small.sights import Sight
from finetune.pretrain.small.views import Recipe
from m3agiqa.aspects import ASPECTS
from m3agiqa.mllm.conversation import conversation

KINDS = {"photograph": "A photograph", "generated": "A generated picture"}
NOTHING = "No effect is visible."
DESCRIBE = (
    "Describe the image.",
    "What does the image show?",
    "Tell me what you see in this picture.",
    "What is to be seen? Name the effects, too.",
    "Look closely and describe the picture.",
)
EFFECTS_SEEN = (
    "Which effects are visible?",
    "What was done to the picture?",
    "Name the effects and how strong they are.",
)
HOW_MUCH = ("How much {} is there?", "Is there {}?", "How strong is the {}?")
FROM_0_TO_9 = "From 0 to 9: {}?"
TURNS = 9  # at most; a row holds what fits


def describe(kind: str, sight: Sight, recipe: Recipe) -> str:
    """The whole view in three sentences."""
    facts = f"Mostly {_and(sight.colours)}, brightest {sight.brightest}, {sight.detail} fine detail."
    return f"{KINDS[kind]}, {sight.shape}. {facts} {effects(recipe)}"


def effects(recipe: Recipe) -> str:
    """Every effect with its degree, in the order in which they were applied."""
    named = [f"{degree} {name}" for name, degree in _in_order(recipe.degrees)]
    return f"{_and(named).capitalize()}." if named else NOTHING


def how_much(recipe: Recipe, name: str) -> str:
    return f"{recipe.degrees.get(name, 'no').capitalize()} {name}."


def from_0_to_9(recipe: Recipe, name: str) -> str:
    """0 for none, else 1 to 9."""
    strength = recipe.effects.get(name)
    return "0." if strength is None else f"{1 + round(8 * strength)}."


def chat(kind: str, sight: Sight, recipe: Recipe, rng: Generator) -> list[Turn]:
    """A conversation about a view: often a description first, then questions about what is there and what is not."""
    there = list(recipe.effects)
    turns = [
        Turn(str(rng.choice(EFFECTS_SEEN)), effects(recipe)),
        Turn("Is it a photograph or a generated picture?", f"{KINDS[kind]}."),
        Turn("Which colours are there most of?", f"{_and(sight.colours).capitalize()}."),
        Turn("Where is it brightest?", f"{sight.brightest.capitalize()}."),
        Turn("How much fine detail is there?", f"{sight.detail.capitalize()} fine detail."),
    ]
    for ask, answer in ((HOW_MUCH, how_much), ((FROM_0_TO_9,), from_0_to_9)):
        asked = [str(rng.choice(there)) if there and rng.random() < 0.6 else str(rng.choice(list(EFFECTS)))
                 for _ in range(2)]  # fmt: skip
        turns += [Turn(str(rng.choice(ask)).format(name), answer(recipe, name)) for name in dict.fromkeys(asked)]
    turns = [turns[at] for at in rng.permutation(len(turns))]
    first = Turn(_asked_to_describe(rng), describe(kind, sight, recipe))
    turns.insert(0 if rng.random() < 0.7 else int(rng.integers(len(turns))), first)
    if rng.random() < 0.5:
        turns.insert(int(rng.integers(1, 4)), repetition(rng))
    return turns[:TURNS]


def _asked_to_describe(rng: Generator) -> str:
    """Half of the time in the words of the pipeline, whose aspects then are mere words, with any text as the prompt."""
    if rng.random() < 0.5:
        return str(rng.choice(DESCRIBE))
    prompt = draw_scene(rng, reserved=False).prompt if rng.random() < 0.5 else ""
    asked: str = conversation(str(rng.choice(list(ASPECTS))), prompt)[0]["content"][1]["text"]
    return asked


def _in_order(degrees: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, degrees[name]) for name in EFFECTS if name in degrees]


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
