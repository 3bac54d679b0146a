"""How a picture's things may differ from what its text names: making such scenes, and saying what differs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from data.synthetic.scenes import COLOURS, COUNTS, KINDS, MOST_THINGS, Group, Scene

CHANGES = ("missing", "kind", "colour", "count", "relation")
_OPPOSITE = {"left of": "right of", "right of": "left of", "in front of": "behind", "behind": "in front of"}
# hues that are easily taken for one another weigh less
_NEAR = ({"red", "orange"}, {"orange", "yellow"}, {"blue", "purple"})


@dataclass(frozen=True)
class Difference:
    """One thing that a picture does otherwise than its text: how much it weighs, 0…1, and how to say it."""

    what: str  # one of CHANGES, or "extra"
    weight: float
    text: str


def change(scene: Scene, what: str, rng: Generator) -> Scene:
    """`scene` with one change of sort `what`; unchanged where that sort does not apply."""
    groups = list(scene.groups)
    i = int(rng.integers(len(groups)))
    group = groups[i]
    taken = {other.one for other in groups}
    if what == "missing":
        if len(groups) == 1:
            return change(scene, "count", rng)
        del groups[i]
        return replace(scene, groups=tuple(groups), relation=scene.relation if i > 1 else None)
    if what == "relation":
        return replace(scene, relation=_OPPOSITE[scene.relation]) if scene.relation else scene
    if what == "count":
        room = max(2, MOST_THINGS + 1 - sum(other.count for other in groups) + group.count)
        counts = [n for n in range(1, min(room, 3) + 1) if n != group.count]
        groups[i] = replace(group, count=int(rng.choice(counts)))
    elif what == "colour":
        others = [c for c in COLOURS if f"{c} {group.kind}" not in taken]
        groups[i] = replace(group, colour=str(rng.choice(others)))
    elif what == "kind":
        others = [k for k in KINDS if f"{group.colour} {k}" not in taken]
        groups[i] = replace(group, kind=str(rng.choice(others)))
    else:
        raise ValueError(f"unknown change {what!r}")
    return replace(scene, groups=tuple(groups))


def differences(wanted: Scene, drawn: Sequence[Group], relation: str | None) -> list[Difference]:
    """What is drawn otherwise than wanted; `relation` is how the first two wanted groups really stand.

    A wanted group is looked for by colour and kind, then by kind, then by colour. What is not found counts by its
    share of all things wanted; a wrong number by how far it is off.
    """
    found: list[Difference] = []
    left = list(drawn)
    total = sum(group.count for group in wanted.groups)
    matches: dict[int, Group] = {}
    for alike in (("colour", "kind"), ("kind",), ("colour",)):
        for i, group in enumerate(wanted.groups):
            same = (other for other in left if all(getattr(other, name) == getattr(group, name) for name in alike))
            match = next(same, None)
            if i not in matches and match:
                matches[i] = match
                left.remove(match)
    found += [Difference("extra", 0.35, f"{other.phrase()} besides") for other in left]
    for i, group in enumerate(wanted.groups):
        share = group.count / total
        is_ = "is" if group.count == 1 else "are"
        match = matches.get(i)
        if match is None:
            found.append(Difference("missing", 0.4 + 0.5 * share, f"the {_name(group)} {is_} missing"))
            continue
        if match.colour != group.colour:
            near = {match.colour, group.colour} in _NEAR
            weight = (0.3 + 0.45 * share) * (0.6 if near else 1)
            found.append(Difference("colour", weight, f"the {_noun(group)} {is_} {match.colour}, not {group.colour}"))
        if match.kind != group.kind:
            text = f"{_any(match)} in place of {_any(group)}"
            found.append(Difference("kind", 0.35 + 0.5 * share, text))
        if match.count != group.count:
            off = min(1.0, abs(match.count - group.count) / group.count)
            number = f"{COUNTS[match.count]} {_noun(match)} in place of {COUNTS[group.count]}"
            found.append(Difference("count", 0.15 + 0.35 * off, number))
    if wanted.relation and relation != wanted.relation and {0, 1} <= matches.keys():
        first, second = wanted.groups[:2]
        text = f"the {_name(first)} {'is' if first.count == 1 else 'are'} not {wanted.relation} the {_name(second)}"
        found.append(Difference("relation", 0.4, text))
    return found


def _any(group: Group) -> str:
    return group.phrase() if group.count == 1 else group.many


def _name(group: Group) -> str:
    return group.one if group.count == 1 else group.many


def _noun(group: Group) -> str:
    return _name(group).removeprefix(group.colour + " ")
