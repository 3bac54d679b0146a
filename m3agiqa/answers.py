"""What the server says, as JSON: pydantic's models, from which FastAPI also writes /openapi.json.

They are a promise to programs elsewhere, so they are written out here and are not the library's own classes.
"""

from pathlib import PurePath
from typing import Literal

from pydantic import BaseModel, Field

from m3agiqa.card import Card, World
from m3agiqa.score import Score


class Range(BaseModel):
    """From where to where."""

    low: float
    high: float


class AspectScore(BaseModel):
    """One aspect of one image. Without a score, `status` says why, and all else is null or empty."""

    status: str = Field(description="ok; or 'refused: …' or 'failed: …', and why")
    score: float | None = Field(description="In points of `scale`.")
    interval: Range | None = Field(description="It holds people's mean opinion in 90 % of cases, for known images.")
    percentile: float | None = Field(description="The share of the training images that people rated lower, 0 to 100.")
    word: str | None
    description: str | None
    warnings: list[str] = Field(description="Why not to trust the score.")
    scale: Range | None = Field(description="On which people rated the training images.")

    @classmethod
    def of(cls, score: Score) -> "AspectScore":
        scored = score.score is not None
        return cls(
            status=score.status,
            score=score.score,
            interval=Range(**score.interval._asdict()) if score.interval else None,
            percentile=score.percentile,
            word=score.word,
            description=score.description,
            warnings=list(score.warnings),
            scale=Range(**score.scale._asdict()) if scored else None,
        )


class ScoredImage(BaseModel):
    """One image."""

    scores: dict[str, AspectScore] = Field(description="By aspect.")


class Answer(BaseModel):
    """To POST /v1/scores."""

    images: list[ScoredImage] = Field(description="As many as were sent, in that order.")


class Refusal(BaseModel):
    """Why a request as a whole is not answered."""

    detail: str = Field(description="One line.")


class Health(BaseModel):
    """Of the server."""

    status: Literal["ready", "stopping"]


class AspectAnswer(BaseModel):
    """What is known of a trained aspect: of its card what a client needs."""

    dataset: str
    world: World = Field(description="Pictures that people rated, or rendered scenes and a made-up panel.")
    scale: Range = Field(description="Of scores and intervals.")
    level: float = Field(description="The share of cases in which an interval should hold people's mean opinion.")
    coverage: float | None = Field(description="The share of test images in which it did; null if not known.")
    model: str
    identity: str = Field(description="SHA-256 of the model's weights, dtype and adapter: the same scores, or not.")
    head: str = Field(description="SHA-256 of the head's files.")
    n_train: int | None
    n_test: int | None
    srcc: float | None = Field(description="Spearman's correlation with people's ratings of the test images.")
    plcc: float | None = Field(description="Pearson's.")

    @classmethod
    def of(cls, card: Card, *, fast: bool) -> "AspectAnswer":
        head, figures = card.head_of(fast=fast), card.figures
        reached = figures.get("fast", {}) if fast else figures
        return cls(
            dataset=card.dataset,
            world=card.world,
            scale=Range(**card.scale._asdict()),
            level=head.interval.level,
            coverage=head.interval.coverage,
            model=PurePath(card.mllm.model).name,  # where it lies here is nobody's business
            identity=card.identity,
            head=head.sha256,
            n_train=figures.get("n_train"),
            n_test=figures.get("n"),
            srcc=reached.get("srcc"),
            plcc=reached.get("plcc"),
        )


class LimitsAnswer(BaseModel):
    """What is too much."""

    request_bytes: int
    images: int = Field(description="A request.")
    image_pixels: int = Field(description="Width times height.")
    prompt_characters: int


class JudgeAnswer(BaseModel):
    """To GET /v1/judge."""

    aspects: dict[str, AspectAnswer]
    limits: LimitsAnswer
