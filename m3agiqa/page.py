"""A local page: drop an image, type its prompt, see its scores, beside another's if you like; or rank candidates.

Gradio (requirements-demo.txt) draws it. It listens on this machine only, loads nothing from elsewhere and reports to
nobody. An upload is limited in bytes by Gradio and in pixels by m3agiqa/images.py, which decodes it; prompts,
descriptions and file names reach the page escaped.
"""

import os
from html import escape
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
from gradio.data_classes import ImageData, ListFiles

from m3agiqa.errors import InputError
from m3agiqa.gallery import panel
from m3agiqa.given import open_image
from m3agiqa.page_ranks import MOST, Upload, ranks
from m3agiqa.scorer import Scorer

MAX_UPLOAD = "20mb"
LONGEST_PROMPT = 2000  # characters
IMAGE, OTHER = "Image", "Another, to compare"
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no font from a server
CSS = ".message { border-left: .25rem solid #c77700; padding-left: .5rem; overflow-wrap: anywhere; }"
TURNS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}


def build(scorer: Scorer) -> gr.Blocks:
    """The page, for whatever the scorer can be asked."""
    with gr.Blocks(title="Score AI-generated images", analytics_enabled=False) as page:
        gr.Markdown(
            f"# Score AI-generated images\nOn {', '.join(scorer.aspects)}, each on the scale on which people rated "
            "the training images. The bar is that scale, and its coloured part the interval that holds people's mean "
            "opinion in 90 % of cases, for images like those."
        )
        with gr.Tabs():
            with gr.Tab("Score", elem_id="to-score"):
                _scoring(scorer)
            with gr.Tab("Rank", elem_id="to-rank"):
                _ranking(scorer)
    return page


def serve(scorer: Scorer, port: int | None) -> None:
    """Show the page at 127.0.0.1 until interrupted; without a `port`, the first free one from 7860."""
    build(scorer).launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        max_file_size=MAX_UPLOAD,
        theme=THEME,
        css=CSS,
        footer_links=[],
        ssr_mode=False,
    )


def _scoring(scorer: Scorer) -> None:
    """An image with its prompt, and another one beside it."""

    def score(first: str | None, prompt: str, second: str | None, other: str) -> tuple[str, str]:
        left = _scores(scorer, first, prompt) or _message("Choose an image first.")
        if second is None:
            return left, ""
        return f"<h2>{IMAGE}</h2>{left}", f"<h2>{OTHER}</h2>{_scores(scorer, second, other)}"

    with gr.Row():
        image, prompt = _inputs(IMAGE, "Its prompt", "score")
        other, words = _inputs(OTHER, "The other's prompt", "other")
    button = gr.Button("Score", variant="primary", elem_id="go")
    with gr.Row():
        shown, beside = _output("score"), _output("other")
    for event in (button.click, prompt.submit, words.submit):
        event(score, [image, prompt, other, words], [shown, beside], **TURNS)


def _ranking(scorer: Scorer) -> None:
    """Candidates for one prompt, and by what they are ranked."""

    def rank(uploads: list[Upload], prompt: str, aspect: str) -> str:
        try:
            return ranks(scorer, uploads, prompt, aspect)
        except InputError as error:
            return _message(str(error))

    several = len(scorer.aspects) > 1
    gr.Markdown(f"Images that were made from one prompt, up to {MOST}, in the order in which people would put them.")
    files = gr.File(label="Images", file_count="multiple", elem_id="rank-images")
    files.preprocess = _uploads
    prompt = gr.Textbox(label="Their prompt", max_length=LONGEST_PROMPT, elem_id="rank-prompt")
    first = scorer.aspects[0]
    aspect = gr.Radio(list(scorer.aspects), value=first, label="By", visible=several, elem_id="rank-aspect")
    button = gr.Button("Rank", variant="primary", elem_id="rank-go")
    shown = gr.HTML(elem_id="rank-shown")
    for event in (button.click, prompt.submit):
        event(rank, [files, prompt, aspect], shown, **TURNS)


def _inputs(label: str, question: str, name: str) -> tuple[gr.Image, gr.Textbox]:
    with gr.Column(min_width=320):
        image = gr.Image(
            label=label, type="filepath", sources=["upload", "clipboard"], height=260, elem_id=f"{name}-image"
        )
        image.preprocess = _as_uploaded
        return image, gr.Textbox(label=question, max_length=LONGEST_PROMPT, elem_id=f"{name}-prompt")


def _output(name: str) -> gr.HTML:
    with gr.Column(min_width=320):  # beside each other where there is room for both
        return gr.HTML(elem_id=f"{name}-shown")


def _as_uploaded(payload: ImageData | None) -> str | None:
    """The file's path, in place of Gradio's decoding: what is wrong with a bad file is ours to say."""
    return None if payload is None else payload.path


def _uploads(payload: ListFiles | None) -> list[Upload]:
    """The files with the names that they had, in place of Gradio's paths."""
    files = [] if payload is None else payload.root
    return [Upload(file.orig_name or Path(file.path).name, file.path) for file in files]


def _scores(scorer: Scorer, file: str | None, prompt: str) -> str:
    if file is None:
        return ""
    try:
        image = open_image(Path(file).read_bytes())  # not the path: where uploads lie is nobody's business
    except InputError as error:
        return _message(f"This file cannot be scored: {error}")
    (scores,) = scorer.all([image], [prompt])
    return panel(list(scores.values()))


def _message(text: str) -> str:
    return f'<p class="message" role="alert">{escape(text)}</p>'
