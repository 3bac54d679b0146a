"""The grammar: prompts, the reserved combinations, layouts, changes and captions."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synthetic.captions import contrast, describe, draw_example, stands
from data.synthetic.changes import CHANGES, change, differences
from data.synthetic.layouts import lay_out
from data.synthetic.scenes import (
    COLOURS,
    COUNTS,
    GROUNDS,
    KINDS,
    LIGHTS,
    MOST_THINGS,
    RELATIONS,
    STYLES,
    Group,
    Scene,
    draw_scene,
    plural,
)
from data.synthetic.traits import alter

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=60, deadline=None)


def rng(seed):
    return np.random.Generator(np.random.PCG64(seed))


def combination(groups):
    return frozenset((group.colour, group.kind) for group in groups)


@few
@given(seeds, seeds)
def test_data_set_and_pretraining_never_share_a_combination(one, other):
    ours, theirs = draw_scene(rng(one), reserved=True), draw_scene(rng(other), reserved=False)
    assert combination(ours.groups) != combination(theirs.groups)
    assert combination(draw_example(rng(other))[0].groups) != combination(ours.groups)
    # neither order nor number decides
    shuffled = tuple(Group(1, group.colour, group.kind) for group in reversed(ours.groups))
    assert Scene(shuffled, None, "snow", "noon", "comic").reserved


def test_a_quarter_is_reserved():
    singles = [Scene((Group(1, c, k),), None, "snow", "noon", "comic").reserved for c in COLOURS for k in KINDS]
    generator = rng(1)
    pairs = [
        Scene(tuple(Group(1, str(generator.choice(COLOURS)), str(generator.choice(KINDS))) for _ in range(2)),
              None, "snow", "noon", "comic").reserved
        for _ in range(2000)
    ]  # fmt: skip
    assert 0.12 < np.mean(singles) < 0.38
    assert 0.2 < np.mean(pairs) < 0.3


def parse(prompt):
    """The scene that a prompt was made from: the grammar is unambiguous."""
    head, light, style = prompt.rsplit(", ", 2)
    things, ground = next((head.removesuffix(f" on {text}"), name) for name, text in GROUNDS.items()
                          if head.endswith(f" on {text}"))  # fmt: skip
    things = things.removesuffix(",")
    things, _, third = things.partition(", with ")
    relation = next((name for name in RELATIONS if f" {name} " in things), None)
    phrases = things.split(f" {relation or 'and'} ") + ([third] if third else [])
    kinds = {name: kind for kind in KINDS for name in (kind, plural(kind))}
    groups = []
    for phrase in phrases:
        number, colour, noun = phrase.split(" ")
        groups.append(Group(1 if number in ("a", "an") else COUNTS.index(number), colour, kinds[noun]))
    return Scene(tuple(groups), relation, ground, {text: name for name, text in LIGHTS.items()}[light], style)


@few
@given(seeds, st.booleans())
def test_prompts_say_what_the_scene_is(seed, reserved):
    scene = draw_scene(rng(seed), reserved=reserved)
    assert parse(scene.prompt) == scene
    assert scene.style in STYLES
    assert sum(group.count for group in scene.groups) <= MOST_THINGS


def test_a_prompt_reads_naturally():
    scene = Scene((Group(2, "red", "ball"), Group(1, "orange", "cone")), "left of", "grass", "evening", "watercolour")
    assert scene.prompt == "two red balls left of an orange cone on grass, evening light, watercolour"


@few
@given(seeds)
def test_a_layout_is_faithful_to_its_scene(seed):
    generator = rng(seed)
    scene = draw_scene(generator, reserved=True)
    layout = lay_out(scene, generator)
    assert set(layout.groups) == set(scene.groups)
    assert differences(scene, layout.groups, stands(layout, scene)) == []


@few
@given(seeds, st.sampled_from(CHANGES))
def test_a_change_is_found_and_weighs(seed, what):
    generator = rng(seed)
    scene = draw_scene(generator, reserved=True)
    other = change(scene, what, generator)
    layout = lay_out(other, generator)
    found = differences(scene, layout.groups, stands(layout, scene))
    assert bool(found) == (other != scene)
    assert all(0 < difference.weight < 1 for difference in found)


def test_differences_are_told():
    asked = Scene((Group(2, "red", "ball"), Group(1, "blue", "cone")), "left of", "grass", "noon", "comic")

    def told(*groups, relation="left of"):
        return [difference.text for difference in differences(asked, groups, relation)]

    assert told(Group(2, "red", "ball"), Group(1, "blue", "cone")) == []
    assert told(Group(2, "red", "ball")) == ["the blue cone is missing"]
    assert told(Group(1, "red", "ball"), Group(1, "blue", "cone")) == ["one ball in place of two"]
    assert told(Group(2, "green", "ball"), Group(1, "blue", "cone")) == ["the balls are green, not red"]
    assert told(Group(2, "red", "ball"), Group(1, "blue", "car")) == ["a blue car in place of a blue cone"]
    assert told(*asked.groups, relation="behind") == ["the red balls are not left of the blue cone"]
    assert told(*asked.groups, Group(1, "white", "car")) == ["a white car besides"]


VALUING = re.compile(
    r"\b(good|bad|poor\w*|fair\w*|excellent\w*|great|nice|ugly|better|worse|best|worst|quality|sharp\w*|noisy|noise|"
    r"blurr\w*|blurry|realistic\w*|unrealistic|authentic\w*|natural\w*|fake|artefact\w*|artifact\w*|fault\w*|wrong\w*|"
    r"correct\w*|flaw\w*|defect\w*|beautiful|pleasant|clean|score|rating|implausible|plausible|odd|strange|broken)\b",
    re.IGNORECASE,
)


def test_captions_value_nothing():
    generator = rng(3)
    for _ in range(400):
        layout, turns = draw_example(generator)
        assert 3 <= len(turns) <= 5
        text = " ".join((describe(layout), *(part for turn in turns for part in turn)))
        assert not VALUING.search(text), VALUING.search(text)


def test_captions_name_effects_and_traits():
    texts = " ".join(describe(draw_example(rng(seed))[0]) for seed in range(300))
    for words in ("soft focus", "film grain", "square blocks", "flat tones", "tint", "pale grey", "bends over to the",
                  "comes apart", "lit more from the", "repeats one patch"):  # fmt: skip
        assert words in texts


def test_comparison_of_text_and_image():
    text = Scene((Group(2, "red", "ball"), Group(1, "blue", "cone")), None, "grass", "noon", "comic")
    layout = lay_out(change(text, "missing", rng(1)), rng(2))
    left = layout.groups[0]
    assert contrast(layout, text).startswith("The text names two red balls and one blue cone. The image shows ")
    assert f"shows {left.phrase(number=True)}. Different: the " in contrast(layout, text)
    assert contrast(lay_out(text, rng(1)), text).endswith("Both name the same.")


def test_unknown_change_is_refused():
    with pytest.raises(ValueError, match="unknown change"):
        change(draw_scene(rng(1), reserved=True), "sound", rng(1))


def test_unknown_trait_is_refused():
    body = lay_out(draw_scene(rng(1), reserved=True), rng(2)).bodies[0]
    with pytest.raises(ValueError, match="unknown trait"):
        alter(body, "sound", 1.0, "noon")
