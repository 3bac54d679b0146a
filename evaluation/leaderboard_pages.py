"""The leaderboard as people read it: Markdown, and one HTML file without a script.

Published figures stand where they would rank; nothing of theirs can be tested.
"""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from evaluation.comparison import TASK
from m3agiqa.rendering import templates


def leaderboard_pages(board: pd.DataFrame, published: pd.DataFrame) -> dict[str, str]:
    """The text of each file, by its name. `published` as evaluation/published_figures.csv has it."""
    tasks = [
        {"name": dict(zip(TASK, task, strict=True)), "lines": _lines(rows, published)}
        for task, rows in board.groupby(TASK, sort=True, dropna=False)
    ]
    made = {True: "leaderboard.html", False: "leaderboard.md"}
    return {
        name: templates("evaluation", html=html).get_template(name).render(tasks=tasks) for html, name in made.items()
    }


def _lines(rows: pd.DataFrame, published: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """The settings, and between them what others say of the same data set and aspect, by SRCC."""
    of = rows.iloc[0]
    theirs = published[(published["dataset"] == of["on"]) & (published["aspect"] == of["aspect"])]
    ours = rows.astype(object).where(rows.notna(), None).to_dict("records")
    others: list[dict[Hashable, Any]] = [
        dict.fromkeys(rows.columns)
        | {"setting": row["method"], "source": row["source"], "srcc": float(row["srcc"])}
        | {"printed": [row["srcc"], row["plcc"] or "–"]}
        | {"elsewhere": of["dataset"] != of["on"] or row["protocol"] != of["protocol"]}
        for row in theirs.to_dict("records")
    ]
    return sorted([*ours, *others], key=lambda row: -(-2.0 if row["srcc"] is None else row["srcc"]))
