"""The page from tables and figures: what it says is decided here, how it looks in templates/report.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation import metrics
from m3agiqa.rendering import templates
from report import charts
from report.captions import Captions
from report.examples import chosen, examples

MAX_PANELS = 24  # generators drawn; the table has them all


def render(
    figures: Mapping[str, Any],
    rows: pd.DataFrame,
    raw: Path,
    *,
    words: tuple[str, ...],
    labels: Mapping[str, str],
    captions: Captions,
    notes: list[str],
    provenance: Mapping[str, str],
    params: str,
) -> str:
    """The HTML. `rows` are the test images with path, prompt, generator, mos, predicted, description, word, word_mos.

    `labels` names the baselines, `captions` is about the teacher, `notes` are said at the top, `provenance` and
    `params` at the end.
    """
    environment = templates("report")
    environment.filters |= {"figure": _figure, "interval": _interval}
    scale = charts.mos_scale(rows["predicted"], rows["mos"])
    generators = _generators(rows)
    drawn = generators[:MAX_PANELS]
    bars, axis = charts.srcc_bars(figures, labels)
    return environment.get_template("report.html").render(
        figures=figures,
        bars=bars,
        axis=axis,
        ceiling=figures["ceiling"]["srcc"] or figures["ceiling"]["srcc_from_spread"],
        generators=generators,
        panels=[charts.scatter(one["name"], rows[rows["generator"] == one["key"]], scale) for one in drawn],
        calibration=charts.calibration(rows, scale),
        words=words,
        confusion=pd.crosstab(rows["word_mos"], rows["word"]).reindex(index=words, columns=words, fill_value=0),
        examples={kind: list(examples(part, raw)) for kind, part in chosen(rows).items()},
        captions=captions,
        notes=notes,
        provenance=provenance,
        params=params,
        side=charts.SIDE,
        margin=charts.MARGIN,
    )


def _generators(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Each generator's figures, the one with the highest mean MOS first."""
    table = [
        {
            "key": generator,
            "name": generator or "unknown generator",
            "n": len(part),
            "mos": float(part["mos"].mean()),
            "predicted": float(part["predicted"].mean()),
            "bias": float((part["predicted"] - part["mos"]).mean()),
            "srcc": metrics.srcc(part["predicted"], part["mos"]),
            "rmse": metrics.rmse(part["predicted"], part["mos"]),
        }
        for generator, part in rows.groupby("generator", sort=True)
    ]
    return sorted(table, key=lambda one: -one["mos"])


def _figure(value: float | None, decimals: int = 3, *, sign: bool = False) -> str:
    """A number as people read it; a dash for what could not be computed. The minus is a real one."""
    return "–" if value is None else f"{value:{'+' if sign else ''}.{decimals}f}".replace("-", "−")


def _interval(edges: list[float] | None, decimals: int = 3) -> str:
    return "no interval" if edges is None else " to ".join(_figure(edge, decimals) for edge in edges)
