"""The grammar of what a prompt may ask for: things, colours, counts, a relation, ground, light and style.

A scene is the *meaning* of a prompt. Where the things stand is decided later and anew for every picture
(`layouts.lay_out`), so two pictures of one prompt differ the way two generators' pictures differ.
"""

import hashlib
from dataclasses import dataclass

from numpy.random import Generator

KINDS = ("ball", "cube", "cone", "cylinder", "tree", "house", "mushroom", "snowman", "table", "tower", "car")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
RELATIONS = ("left of", "right of", "in front of", "behind")
GROUNDS = {"grass": "grass", "sand": "sand", "snow": "snow", "wood": "a wooden floor", "tiles": "a tiled floor"}
LIGHTS = {"morning": "morning light", "noon": "noon light", "evening": "evening light", "moon": "moonlight"}
LIGHT_SIDES = {"morning": "left", "noon": "above", "evening": "right", "moon": "left"}
STYLES = ("photograph", "clay render", "watercolour", "comic")
COUNTS = ("no", "one", "two", "three", "four", "five", "six")
MOST_THINGS = 5


def plural(kind: str) -> str:
    """More than one of `kind`."""
    return {"snowman": "snowmen"}.get(kind, kind + "s")


@dataclass(frozen=True)
class Group:
    """Some equal things: two red balls."""

    count: int
    colour: str
    kind: str

    @property
    def one(self) -> str:
        """A single one of them, without article: "red ball"."""
        return f"{self.colour} {self.kind}"

    @property
    def many(self) -> str:
        """Several of them, without number: "red balls"."""
        return f"{self.colour} {plural(self.kind)}"

    def phrase(self, *, number: bool = False) -> str:
        """As a prompt says it: "a red ball", "two red balls"; with `number`, "one red ball"."""
        if self.count != 1:
            return f"{COUNTS[self.count]} {self.many}"
        article = "one" if number else "an" if self.colour[0] in "aeiou" else "a"
        return f"{article} {self.one}"


@dataclass(frozen=True)
class Scene:
    """What a prompt asks for. The relation holds between the first two groups."""

    groups: tuple[Group, ...]
    relation: str | None
    ground: str
    light: str
    style: str

    @property
    def prompt(self) -> str:
        """The scene as a line of text: "two red balls left of a blue cone on grass, evening light, watercolour"."""
        return f"{self.things} on {GROUNDS[self.ground]}, {LIGHTS[self.light]}, {self.style}"

    @property
    def things(self) -> str:
        """Only the things and how they stand: "two red balls left of a blue cone, with a green tree,"."""
        phrases = [group.phrase() for group in self.groups]
        text = phrases[0]
        if len(phrases) > 1:
            text += f" {self.relation or 'and'} {phrases[1]}"
        return f"{text}, with {phrases[2]}," if len(phrases) > 2 else text

    @property
    def reserved(self) -> bool:
        """Whether these things, whatever their number and setting, are kept for the data set."""
        return is_reserved(self.groups)


def is_reserved(groups: tuple[Group, ...]) -> bool:
    """A quarter of all combinations of (colour, kind) belong to the data set, the others to pretraining.

    The rule is a hash of the sorted set, so it needs no list and can never change by accident: a model that
    was pretrained on one side has not seen the other side's combinations, in whatever number, order or setting.
    """
    names = sorted({group.one for group in groups})
    return hashlib.sha256("|".join(names).encode()).digest()[0] % 4 == 0


def draw_scene(rng: Generator, reserved: bool) -> Scene:
    """Draw a scene at random; `reserved` says from which side of `is_reserved`."""
    while True:
        groups = _draw_groups(rng)
        if is_reserved(groups) == reserved:
            break
    relation = str(rng.choice(RELATIONS)) if len(groups) > 1 and rng.random() < 0.85 else None
    return Scene(
        groups=groups,
        relation=relation,
        ground=str(rng.choice(list(GROUNDS))),
        light=str(rng.choice(list(LIGHTS), p=(0.3, 0.25, 0.3, 0.15))),
        style=str(rng.choice(STYLES, p=(0.4, 0.2, 0.2, 0.2))),
    )


def _draw_groups(rng: Generator) -> tuple[Group, ...]:
    """One to three groups of different things, at most `MOST_THINGS` together."""
    wanted = int(rng.choice((1, 2, 3), p=(0.2, 0.6, 0.2)))
    groups: list[Group] = []
    while len(groups) < wanted:
        room = MOST_THINGS - sum(group.count for group in groups) - (wanted - len(groups) - 1)
        count = min(int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2))), room)
        group = Group(count, str(rng.choice(COLOURS)), str(rng.choice(KINDS)))
        if group.one not in {other.one for other in groups}:
            groups.append(group)
    return tuple(groups)
