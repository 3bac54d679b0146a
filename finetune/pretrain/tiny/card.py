"""The model card of `tiny`."""

from typing import Any

from finetune.pretrain.tiny.data import LENGTH
from finetune.pretrain.tiny.model import IMAGE_TOKENS

CARD = """---
license: mit
pipeline_tag: image-text-to-text
library_name: transformers
---
# tiny

A vision-language model of {millions:.1f} M parameters in SmolVLM's architecture, for running the whole pipeline without
a hub, a key or a GPU. It says what a rendered picture of simple things shows. **It has never seen a photograph, and it
knows nothing of quality:** no rating and no word of judgement is in what it was taught to say of pictures
(`quality_words_said_of_pictures` in metrics.json). What is good, it learns in the pipeline's `distill` stage.

## Architecture
- Vision: ViT 192 × 6 layers, 6 heads, 192 px, patches of 16 px; connector with scale factor 2: {image_tokens} image
  tokens. Factor 3 would leave 16 tokens of 48 × 48 px; grain, soft edges and bent outlines survive better in 32 × 32.
- Text: Llama 256 × 6 layers, 8 heads, 4 key-value heads, vocabulary 2,048 (byte-level BPE), trained on
  {length} positions.
- Tokenizer: merges learned from generated chats and from a list of single words of the later task (aspects, rating
  words, "sharp", "missing", …), so that those are one token each. They occur in pretraining only as lists in random
  order that are to be repeated, in half of the chats and never about the picture: the model can read and say them, and
  does not know what they look like. Tokens that never occurred had their embeddings drawn at random afterwards.
- Processor: Idefics3's classes, which SmolVLM builds on; SmolVLM's own add video and its dependencies.

## How it was made, and how to make it again
    python -m finetune.pretrain.tiny --out models/tiny --seed {seed} --images {images} \\
        --steps {steps} --batch {batch} --seconds 7200

On {hardware}, torch {torch}, transformers {transformers}: {images:,} pictures after {seconds_drawing:.0f} s, then
{steps:,} steps of {batch} rows in {seconds_training:.0f} s ({epochs:.1f} passes over the pictures, {chats_per_image}
conversations each); bf16 autocast, AdamW, cosine. The same command draws the same pictures and chats; the weights
agree up to the GPU's arithmetic.

Data: scenes of `data/synthetic` with effects, bends, gaps, lights and patterns that the captions name as facts; chats
of captions, comparisons with a text, short questions, and lists of words to be repeated. Loss on the answers only.
Beside it a probe, thrown away
afterwards, predicted a thumbnail and the fine, middle and coarse structure of each image token's pixels (weight 0.5),
so that what no caption names stays readable in the tokens; this measures and does not judge.
Seeds and combinations of things are disjoint from the data set `synthetic`: a quarter of all sets of (colour, kind) is
reserved for it (`data.synthetic.scenes.is_reserved`) and was never drawn here.

## Held out: {cases} pictures of reserved combinations
| | share right | |
|---|---|---|
{table}

`objects`, `colours`, `counts`: things named that are there, against things missed or invented; `all things`: every one
right. `appearance`: the sentences on effects, bends, gaps, lights and patterns, all of them right. `questions`,
`comparison exact`: right to the letter.
Curve: training.csv, training.png.

## Limits
Simple things in seven colours and eleven kinds, 192 px, one way of rendering, the English of a small grammar, counts up
to three of a kind. Not for photographs: it will describe them as if they were its own world.

Licence: MIT.
"""


def card(metrics: dict[str, Any]) -> str:
    """The model card, filled with the run's figures."""
    table = "\n".join(
        f"| {group} | {name.replace('_', ' ')} | {value:.3f} |"
        for group, part in metrics["held_out"].items()
        for name, value in part.items()
    )
    run = metrics["run"]
    return CARD.format(**run, millions=run["parameters"] / 1e6, image_tokens=IMAGE_TOKENS, length=LENGTH, table=table)
