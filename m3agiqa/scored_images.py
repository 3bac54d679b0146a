"""Many images, each scored once: what was scored before is found again, by picture and prompt, whatever the list.

Scores are journalled as they are made. A cut run goes on where it was and ends in the same bytes, a list with one more
image costs one more image, and a picture that stands in it twice is scored once. An image is decoded once for all
aspects that share a base model, a batch ahead of the model; in memory are two batches of images a process, however many
come, and two more where threads make a GPU's inputs of them.

A large model's blocks are not compiled here (m3agiqa/mllm/gpu.py), as the stage features does: whether that pays
depends on how many images there are, and it changes last bits. Then an image's score, and the name that it is kept
under, would depend on the list.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from m3agiqa.asking import Asked, Tell, Teller, Told, told_here
from m3agiqa.batches import batches
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint, folder_sha256, sha256
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage
from m3agiqa.journal import Journal
from m3agiqa.kept_scores import KeptScores, ScoredImages
from m3agiqa.parts import Part, groups
from m3agiqa.progress import progress
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer
from m3agiqa.scratch import Scratch
from m3agiqa.versions import versions
from m3agiqa.workers import Workers, devices

LIBRARY = Path(__file__).parent


def scored(
    images: Sequence[ListedImage],
    parts: Mapping[str, Part],
    folder: Path,
    *,
    kept: ExitStack,
    device: str = "auto",
    batch: int = 32,
    processes: int = 1,
    teller: Teller | None = None,
    unfamiliar: bool = False,
    fast: bool = False,
) -> ScoredImages:
    """The images with a score of each aspect in `parts`, in their order.

    Aspects that share a base model are scored together, and of several base models one is in memory at a time. Who
    writes into `folder` at the same time waits for the other.

    Args:
        images: to score; a prompt of "" is none.
        parts: the judge, as `open_bundle` and `parts_here` give it.
        folder: where scores are kept, in .cache: the same for the same work.
        kept: what holds the journals open that the scores are read from. Closed without an error, it drops those of
            earlier work in `folder`.
        device: "cpu", "cuda", or "auto" for the GPU if there is one.
        batch: images a forward pass.
        processes: that score, each on a GPU of its own or on its share of the CPU; one is this one.
        teller: who scores in their place: a cluster (m3agiqa/cluster.py).
        unfamiliar: let a judge that knows only rendered scenes score other images, too.
        fast: write no description.

    Raises:
        InputError: parts that do not belong together, an image that changes while it is scored, or too few GPUs.
        WorkerError: one of several processes was killed, or the cluster has given up. What they had scored is kept.
    """
    places = devices(device, processes)
    names = [_named(image) for image in progress(images, total=len(images), desc="read", unit="images")]
    found: dict[str, KeptScores] = {}
    for group in groups(parts):
        made = partial(Scorer, group, batch=batch, unfamiliar=unfamiliar, fast=fast)
        scorer = made(device=device)
        with teller(scorer) if teller else _teller(scorer, [made(device=place) for place in places]) as tell:
            part = next(iter(group.values()))
            found |= _Work(scorer, part, tell, images, names, folder / ".cache", kept).done()
    return ScoredImages(images, [found[aspect] for aspect in parts])


def code() -> tuple[str, dict[str, str]]:
    """All that makes a score of a picture and a judge: the library's own code, and the versions of others."""
    return folder_sha256(LIBRARY), versions()


def is_failed(score: Score) -> bool:
    """Whether it could be asked for, and is missing."""
    return score.status.startswith("failed")


@contextmanager
def _teller(scorer: Scorer, scorers: Sequence[Scorer]) -> Iterator[Tell]:
    """Who scores: this process, or one for each of several scorers."""
    if len(scorers) == 1:
        yield partial(told_here, scorer)
        return
    with Workers(scorers) as workers:
        yield workers.told


class _Names(NamedTuple):
    """What an image's score is kept under."""

    picture: str  # the same for a copy elsewhere
    file: str  # where it failed, for why has the file's name in it; and what cannot be read is no picture


class _Work:
    """The images for all aspects of one scorer, which `tell` scores by, wherever."""

    def __init__(
        self,
        scorer: Scorer,
        part: Part,
        tell: Tell,
        images: Sequence[ListedImage],
        names: Sequence[_Names],
        cache: Path,
        kept: ExitStack,
    ) -> None:
        self._scorer, self._part, self._tell, self._images, self._names = scorer, part, tell, images, names
        self._found = {aspect: self._kept(aspect, cache, kept) for aspect in scorer.aspects}

    def _kept(self, aspect: str, cache: Path, kept: ExitStack) -> KeptScores:
        """What the same judge and code have scored before."""
        scorer = self._scorer
        judge = [scorer.card(aspect).model_dump_json(), scorer.device, scorer.batch, scorer.unfamiliar, scorer.fast]
        key = fingerprint([judge, *code()])
        scratch = kept.enter_context(Scratch(cache / aspect / key[:16]))
        return KeptScores(kept.enter_context(Journal(scratch.path / "journal.jsonl")), len(self._images))

    def done(self) -> dict[str, KeptScores]:
        """Each aspect's scores, once none is missing."""
        firsts: dict[str, int] = {}
        for row, name in enumerate(self._names):
            firsts.setdefault(name.picture, row)
        self._score(list(firsts.values()), ", ".join(self._found))
        # Copies of what could not be scored: each has a name of its own to be told of.
        copies = {name.file: row for row, name in enumerate(self._names) if self._missing(row)}
        if copies:
            self._score(list(copies.values()), "copies")
        for scores in self._found.values():
            for row, (picture, file) in enumerate(self._names):
                scores.assign(row, picture if picture in scores else file)
        return self._found

    def _score(self, rows: Sequence[int], what: str) -> None:
        """What these images lack, no two of which are one picture. Their batches do not depend on what that is."""
        images = [self._images[row] for row in rows]
        paths, prompts = [image.path for image in images], [image.prompt for image in images]
        places = batches(self._part, paths, prompts, self._scorer.batch)
        work = [[row for row in map(rows.__getitem__, batch) if self._missing(row)] for batch in places]
        told = self._tell(map(self._asked, work))
        for asked, scores in progress(told, total=len(work), desc=what, unit="batches"):
            self._keep(asked.rows, scores)

    def _asked(self, rows: Sequence[int]) -> Asked:
        images = [(self._images[row].path, self._images[row].prompt) for row in rows]
        return Asked(rows, images, [self._missing(row) for row in rows])

    def _keep(self, rows: Sequence[int], told: Told) -> None:
        """Keep a batch once it is sure that its pictures are still those that it was named after."""
        if changed := [self._images[row].path for row in rows if _named(self._images[row]) != self._names[row]]:
            raise InputError(f"{brief(str(changed[0]))}: changed while it was to be scored; run it again")
        for aspect, scores in told.items():
            names = [self._name(rows[place], score) for place, score in scores.items()]
            self._found[aspect].add(names, list(scores.values()))

    def _name(self, row: int, score: Score) -> str:
        return self._names[row].file if is_failed(score) else self._names[row].picture

    def _missing(self, row: int) -> list[str]:
        """The aspects that an image has no score of."""
        picture, file = self._names[row]
        return [aspect for aspect, scores in self._found.items() if picture not in scores and file not in scores]


def _named(image: ListedImage) -> _Names:
    content = _sha256(image.path)
    file = fingerprint([content, image.prompt, str(image.path)])
    return _Names(file if content is None else fingerprint([content, image.prompt]), file)


def _sha256(path: Path) -> str | None:
    """None for what cannot be read: why is said where it is scored."""
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None
