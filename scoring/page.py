"""A local page: drop an image, type its prompt, see its scores, beside another's if you like.

Gradio (requirements-demo.txt) draws it. It listens on this machine only, loads nothing from elsewhere and reports to
nobody. An upload is limited in bytes by Gradio and in pixels by data/images.py, which decodes it; prompts and
descriptions reach the page escaped.
"""

import os
from html import escape
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
from gradio.data_classes import ImageData

from scoring.report import panel
from scoring.scorer import Scorer

MAX_UPLOAD = "20mb"
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # no font from a server
CSS = ".message { border-left: .25rem solid #c77700; padding-left: .5rem; }"


class Picture(gr.Image):
    """An image upload that hands over the file as it came: a bad one is then our message, not Gradio's traceback."""

    is_template = True  # drawn as a gr.Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        return None if payload is None else payload.path


def build(scorer: Scorer) -> gr.Blocks:
    """The page, for whatever the scorer can be asked."""

    def score(first: str | None, prompt: str, second: str | None, other: str) -> tuple[str, str]:
        left = _scores(scorer, first, prompt) or _message("Choose an image first.")
        return left, _scores(scorer, second, other)

    with gr.Blocks(title="Score AI-generated images", analytics_enabled=False) as page:
        gr.Markdown(
            f"# Score AI-generated images\nOn {', '.join(scorer.aspects)}, from 0 (bad) to 5 (excellent). The bar is "
            "the interval that holds people's mean opinion in 90 % of cases, for images like the training images."
        )
        with gr.Row():
            image, prompt, shown = _column("Image", "Its prompt", "score")
            other, words, beside = _column("Another, to compare", "The other's prompt", "other")
        button = gr.Button("Score", variant="primary", elem_id="go")
        inputs = [image, prompt, other, words]
        for event in (button.click, prompt.submit, words.submit):
            event(score, inputs, [shown, beside], concurrency_limit=1, concurrency_id="model", api_visibility="private")
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


def _column(label: str, asked: str, name: str) -> tuple[gr.Image, gr.Textbox, gr.HTML]:
    with gr.Column(min_width=320):
        image = Picture(
            label=label, type="filepath", sources=["upload", "clipboard"], height=260, elem_id=f"{name}-image"
        )
        prompt = gr.Textbox(label=asked, max_length=2000, elem_id=f"{name}-prompt")
        return image, prompt, gr.HTML(elem_id=f"{name}-shown")


def _scores(scorer: Scorer, file: str | None, prompt: str) -> str:
    if file is None:
        return ""
    content = Path(file).read_bytes()  # not the path: where uploads lie is nobody's business
    scores = [scorer([content], [prompt], aspect=aspect)[0] for aspect in scorer.aspects]
    if all(found.status == scores[0].status != "ok" for found in scores):
        return _message(scores[0].status)
    return panel(scores)


def _message(text: str) -> str:
    return f'<p class="message" role="alert">{escape(text)}</p>'
