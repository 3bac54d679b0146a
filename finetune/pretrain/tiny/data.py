"""What `tiny` sees and hears: rendered scenes and chats about them, as rows of tokens.

The chats come from `data.synthetic.captions`; here they get the many phrasings in which somebody may ask, often
with the text an image was made from in the first turn, and are laid into rows of one length. A conversation of
several rounds is also every shorter one: with causal attention its beginning does not know how it goes on.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from tokenizers import Tokenizer

from data.synthetic.captions import Turn, converse, from_left, vary
from data.synthetic.layouts import Layout, lay_out
from data.synthetic.render import render
from data.synthetic.scenes import Scene, draw_scene
from finetune.pretrain.chats import pieces, repetition, rows
from finetune.pretrain.tiny.model import IMAGE_SIZE, IMAGE_STRING
from finetune.pretrain.tokenizer import BOS, END

LENGTH = 256  # tokens a row: four to six rounds
CHUNK = 64  # images a worker draws and renders at a time

DESCRIBE = (
    "Describe the image.",
    "What does the image show?",
    "Tell me what you see in this picture.",
    "What is in the image? Say how it looks, too.",
    'Here is an image made from the text: "{}". What does it show?',
    'This picture was generated from the prompt "{}". Describe what is really in it.',
    'Prompt: "{}"\nDescribe the image.',
    'Somebody asked for "{}" and got this image. Look closely and describe it.',
)
COMPARE = (
    'Compare the image with the text: "{}"',
    'The image was made from the text "{}". What do both name, and what differs?',
    'Prompt: "{}"\nHow do image and prompt differ?',
    'Does the image show this: "{}"? Name both sides first.',
    'Somebody asked for "{}" and got this image. Compare the two.',
)
COMPARE_AGAIN = (
    "Compare the image with the text.",
    "And how do image and text differ?",
    "Now compare it with the text.",
)
OPENINGS = ("", "", "", "Look at the image. ", "A question about this image: ", "Please answer in few words. ")


class Rows(NamedTuple):
    """Training rows as workers send them: see `finetune.pretrain.tiny.train.Chats`."""

    images: np.ndarray
    tokens: np.ndarray
    answers: np.ndarray


class Staged(NamedTuple):
    """A scene, and how it is laid out."""

    scene: Scene
    layout: Layout


class Discussed(NamedTuple):
    """A picture, and several conversations about it."""

    layout: Layout
    chats: list[list[Turn]]


def picture(rng: Generator, reserved: bool) -> Staged:
    """A scene and a varied layout of it, its things from left to right.

    A caption names them in this order. In the prompt's order, which a picture does not show, a caption could only be
    guessed, and a model that is asked to guess learns its pictures by heart instead.
    """
    scene = draw_scene(rng, reserved)
    layout = from_left(vary(lay_out(scene, rng), rng))
    return Staged(scene, replace(layout, filters=tuple(sorted(layout.filters))))


def draw(rng: Generator, reserved: bool, chats: int) -> Discussed:
    """A picture and `chats` conversations about it."""
    scene, layout = picture(rng, reserved)
    said = [chat(converse(layout, scene, rng), converse(layout, scene, rng), rng) for _ in range(chats)]
    return Discussed(layout, said)


def chat(turns: list[Turn], more: list[Turn], rng: Generator) -> list[Turn]:
    """Say the questions of `turns` in other words, add further ones from `more`, and change the order now and then."""
    text = next(question for question, _ in turns if question.startswith("Compare")).split('"', 1)[1][:-1]
    known = {question for question, _ in turns}
    turns = turns + [turn for turn in more if turn[0] not in known and '"' not in turn[0]]
    if rng.random() < 0.35:
        turns = [turns[i] for i in rng.permutation(len(turns))]
    said, named = [], False
    for place, (plain, answer) in enumerate(turns):
        question = plain
        if plain.startswith("Describe"):
            question = str(rng.choice(DESCRIBE if place == 0 else DESCRIBE[:4]))
        elif plain.startswith("Compare"):
            question = str(rng.choice(COMPARE_AGAIN if named else COMPARE))
        elif place == 0:
            question = str(rng.choice(OPENINGS)) + plain
        named = named or "{}" in question
        said.append(Turn(question.replace("{}", text), answer))
    return said


def _chunk(seed: tuple[int, int], chats: int, tokenizer: str, device: str) -> Rows:
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)
    drawn = [draw(rng, reserved=False, chats=chats) for _ in range(CHUNK)]
    said = [turns for _, several in drawn for turns in several]
    for turns in said[::2]:
        turns.insert(int(rng.integers(3)), repetition(rng))
    tokens, answers = rows(said, Tokenizer.from_str(tokenizer), IMAGE_STRING, LENGTH)
    images = render([layout for layout, _ in drawn], IMAGE_SIZE, device).cpu().numpy()
    return Rows(images, tokens.reshape(CHUNK, chats, LENGTH), answers.reshape(CHUNK, chats, LENGTH))


class Studio:
    """Workers that draw, render and put into tokens: chunks in an order that depends on `seed` alone."""

    def __init__(self, count: int, seed: int, *, chats: int, tokenizer: str, device: str, workers: int) -> None:
        """Start work at once; `count` images with `chats` conversations each."""
        self.count = -(-count // CHUNK) * CHUNK
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._waiting = [
            self._pool.submit(_chunk, (seed, chunk), chats, tokenizer, device) for chunk in range(self.count // CHUNK)
        ]

    def __iter__(self) -> Iterator[Rows]:
        """Take each finished chunk once."""
        while self._waiting:
            yield self._waiting.pop(0).result()

    def close(self) -> None:
        """Stop the workers; what they have not begun stays undone."""
        self._pool.shutdown(cancel_futures=True)


def corpus(count: int, seed: int) -> Iterator[str]:
    """Chats as text, for the tokenizer's merges and for looking at."""
    rng = np.random.default_rng((seed, 0))
    for _ in range(count):
        _, said = draw(rng, reserved=False, chats=1)
        yield "".join(pieces(said[0], IMAGE_STRING)).replace(IMAGE_STRING, "").replace(BOS, "").replace(END, "")
