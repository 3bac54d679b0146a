"""What a picture shows, in words: the language of pretraining.

It names things, colours, numbers, places, light, style and effects, and how a text and a picture differ. It never
values anything: what is liked and what is not, a model learns later, from people's ratings.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from data.synthetic.changes import CHANGES, change, differences
from data.synthetic.filters import FILTERS, tint_name
from data.synthetic.layouts import Body, Filter, Layout, lay_out, relation
from data.synthetic.lights import azimuth
from data.synthetic.scenes import (
    COLOURS,
    COUNTS,
    GROUNDS,
    KINDS,
    LIGHT_SIDES,
    LIGHTS,
    RELATIONS,
    Group,
    Scene,
    draw_scene,
    plural,
)
from data.synthetic.traits import TURN, alter, choose

EFFECTS = {
    "blur": "soft focus", "grain": "film grain", "blocks": "a mosaic of square blocks", "banding": "few flat tones",
    "colour cast": "a {} tint", "low contrast": "pale grey tones",
}  # fmt: skip


class Turn(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Example(NamedTuple):
    """A pretraining picture and a conversation about it."""

    layout: Layout
    turns: list[Turn]  # three to five


def draw_example(rng: Generator) -> Example:
    scene = draw_scene(rng, reserved=False)
    layout = vary(lay_out(scene, rng), rng)
    return Example(layout, converse(layout, scene, rng))


def vary(layout: Layout, rng: Generator) -> Layout:
    """Give some layouts an effect, things that lean or come apart, a light of their own, or a ground that repeats."""
    bodies = list(layout.bodies)
    for what, chance in (("bend", 0.16), ("tear", 0.16), ("light", 0.22)):
        if rng.random() < chance:
            value = float(rng.uniform(0.2, 1)) * float(rng.choice((-1, 1)) if what == "bend" else 1)
            for i in choose(len(bodies), what, rng):
                bodies[i] = alter(bodies[i], what, value, layout.light)
    repeat = float(rng.uniform(0.2, 1)) if rng.random() < 0.16 else 0.0
    names = rng.permutation(list(FILTERS))[: int(rng.choice((0, 1, 2), p=(0.45, 0.4, 0.15)))]
    effects = tuple(Filter(str(name), float(rng.uniform(0.08, 1))) for name in names)
    return replace(layout, bodies=tuple(bodies), repeat=repeat, filters=effects)


def from_left(layout: Layout) -> Layout:
    """`layout` with its things in the order in which one sees them, from left to right."""
    places: dict[tuple[str, str], list[float]] = {}
    for body in layout.bodies:
        places.setdefault((body.colour, body.kind), []).append(body.x)
    bodies = sorted(layout.bodies, key=lambda body: float(np.mean(places[body.colour, body.kind])))
    return replace(layout, bodies=tuple(bodies))


def describe(layout: Layout) -> str:
    """The whole picture in a few sentences."""
    groups = layout.groups
    how = relation(layout, groups[0], groups[1]) if len(groups) > 1 else None
    scene = Scene(groups, how, layout.ground, layout.light, layout.style)
    side = LIGHT_SIDES[layout.light]
    first = f"{_a(layout.style)} of {scene.things} on {GROUNDS[layout.ground]}"
    light = f"{LIGHTS[layout.light]} from {side if side == 'above' else 'the ' + side}"
    return " ".join([f"{first}, {light}.".capitalize(), *_appearance(layout)])


def converse(layout: Layout, scene: Scene, rng: Generator) -> list[Turn]:
    """Questions and answers about a picture: the whole, a comparison with a text, then details."""
    turns = [Turn("Describe the image.", describe(layout))]
    turns.append(compare(layout, scene, rng))
    details = _questions(layout, rng)
    chosen = sorted(rng.permutation(len(details))[: int(rng.integers(1, 4))])
    turns += [details[i] for i in chosen]
    order = rng.permutation(2)
    return [turns[i] for i in order] + turns[2:]


def compare(layout: Layout, scene: Scene, rng: Generator) -> Turn:
    """A text beside the picture, in half of the cases of another scene: what both name, and what differs."""
    text = scene
    if rng.random() < 0.55:
        for _ in range(int(rng.choice((1, 2), p=(0.7, 0.3)))):
            other = change(text, str(rng.choice(CHANGES)), rng)
            text = text if other.reserved else other
    return Turn(f'Compare the image with the text: "{text.prompt}"', contrast(layout, text))


def contrast(layout: Layout, text: Scene) -> str:
    """What a text names, what the picture shows, and what differs."""
    named = things(text.groups)
    shown = things(layout.groups)
    facts = differences(text, layout.groups, stands(layout, text))
    verdict = "Both name the same." if not facts else f"Different: {'; '.join(fact.text for fact in facts)}."
    return f"The text names {named}. The image shows {shown}. {verdict}"


def stands(layout: Layout, text: Scene) -> str | None:
    """How the first two groups that `text` names stand in the picture: None if unclear or not both there."""
    pair = text.groups[:2]
    if len(pair) < 2 or not {group.one for group in pair} <= {group.one for group in layout.groups}:
        return text.relation
    return relation(layout, *pair)


def _questions(layout: Layout, rng: Generator) -> list[Turn]:
    groups = layout.groups
    side = LIGHT_SIDES[layout.light]
    turns = [
        ("What things are there?", _sentence(things(groups))),
        ("What is the ground?", _sentence(GROUNDS[layout.ground])),
        ("Where does the light come from?", "From above." if side == "above" else f"From the {side}."),
        ("What light is it?", _sentence(LIGHTS[layout.light])),
        ("What style is it?", _sentence(layout.style)),
        ("Is there an effect over the image?", " ".join(_effects(layout)) or "No effect."),
        ("How do the things stand?", " ".join(_stances(layout)) or "Upright and whole."),
        ("Are all things lit from one side?", " ".join(_lighting(layout)) or "All from one side."),
        ("Does the ground repeat?", " ".join(_repeats(layout)) or "No, it runs on."),
    ]
    group = groups[int(rng.integers(len(groups)))]
    turns.append((f"How many {group.many} are there?", _sentence(COUNTS[group.count])))
    absent = _absent(groups, rng)
    turns.append((f"How many {absent.many} are there?", "None."))
    turns.append((f"Is there {_a(absent.one)}?", "No."))
    turns.append((f"Is there {_a(group.one)}?", "Yes."))
    if sum(other.kind == group.kind for other in groups) == 1:
        noun = group.kind if group.count == 1 else plural(group.kind)
        turns.append((f"What colour {'is' if group.count == 1 else 'are'} the {noun}?", _sentence(group.colour)))
    for other in groups:
        name = other.one if other.count == 1 else other.many
        for place in RELATIONS:
            there = [one for one in groups if one != other and relation(layout, one, other) == place]
            if there:
                turns.append((f"What stands {place} the {name}?", _sentence(things(there))))
    return [Turn(*turn) for turn in turns]


def _absent(groups: Sequence[Group], rng: Generator) -> Group:
    """Something that is not there, often sharing its colour or kind with something that is."""
    while True:
        like = groups[int(rng.integers(len(groups)))]
        colour, kind = str(rng.choice(COLOURS)), str(rng.choice(KINDS))
        other = Group(1, like.colour if rng.random() < 0.35 else colour, like.kind if rng.random() < 0.35 else kind)
        if other.one not in {group.one for group in groups}:
            return other


def world(layout: Layout) -> list[str]:
    """What is not as it would be in a real place, a sentence each."""
    return [*_stances(layout), *_lighting(layout), *_repeats(layout)]


def _appearance(layout: Layout) -> list[str]:
    return [*world(layout), *_effects(layout)]


def _degree(value: float) -> str:
    return "slight" if value < 0.35 else "medium" if value < 0.68 else "strong"


def _stances(layout: Layout) -> list[str]:
    facts = []
    for bodies in _alike(layout):
        bent = [body for body in bodies if body.bend]
        torn = [body for body in bodies if body.tear]
        if bent:
            side = "right" if bent[0].bend > 0 else "left"
            facts.append(f"{_some(bent, bodies)} over to the {side}, a {_degree(abs(bent[0].bend))} bend.")
        if torn:
            verb = "comes" if len(torn) == 1 else "come"
            facts.append(f"{_subject(torn, bodies)} {verb} apart, a {_degree(torn[0].tear)} gap.")
    return facts


def _lighting(layout: Layout) -> list[str]:
    facts = []
    for bodies in _alike(layout):
        lit = [body for body in bodies if body.light is not None]
        if lit:
            turn = (lit[0].light or 0.0) - azimuth(layout.light)
            side, degree = "right" if turn > 0 else "left", _degree(abs(turn) / TURN)
            facts.append(f"{_subject(lit, bodies)} {'is' if len(lit) == 1 else 'are'} lit more from the {side}, "
                         f"a {degree} turn.")  # fmt: skip
    return facts


def _repeats(layout: Layout) -> list[str]:
    return [f"The ground repeats one patch, a {_degree(layout.repeat)} pattern."] if layout.repeat else []


def _effects(layout: Layout) -> list[str]:
    names = [f"{_degree(power)} {EFFECTS[name].removeprefix('a ')}".format(tint_name(layout.seed))
             for name, power in layout.filters]  # fmt: skip
    return [f"Effect: {', '.join(names)}."] if names else []


def _alike(layout: Layout) -> list[list[Body]]:
    """The bodies, those of equal colour and kind together."""
    names = dict.fromkeys((body.colour, body.kind) for body in layout.bodies)
    return [[body for body in layout.bodies if (body.colour, body.kind) == name] for name in names]


def _subject(some: Sequence[Body], among: Sequence[Body]) -> str:
    group = Group(len(some), some[0].colour, some[0].kind)
    if len(some) < len(among):
        return f"{COUNTS[len(some)].capitalize()} of the {group.many}"
    return f"The {group.one if len(some) == 1 else group.many}"


def _some(some: Sequence[Body], among: Sequence[Body]) -> str:
    return f"{_subject(some, among)} {'bends' if len(some) == 1 else 'bend'}"


def things(groups: Sequence[Group]) -> str:
    """Groups with their numbers: "one red ball and two blue cones"."""
    names = [group.phrase(number=True) for group in groups]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
