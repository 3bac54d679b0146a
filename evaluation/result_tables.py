"""The tables of a run that people open and DVC draws: each test image, and the model among its baselines."""

import re
from typing import Any

import pandas as pd

from evaluation import baselines


def predictions_csv(test: pd.DataFrame, decimals: int) -> str:
    """A row a test image."""
    shown = test[
        ["image_id", "generator", "prompt", "mos", "predicted", "fitted", "residual", "word_mos", "word"]
    ].round(decimals)
    # DVC pastes these texts into a <script> of its page, where "</script>" in a prompt would end it.
    for column in ("generator", "prompt"):
        shown[column] = [re.sub(r"<(?=[/!a-zA-Z])", "< ", text) for text in shown[column]]
    return shown.to_csv(index=False, lineterminator="\n")


def baselines_csv(figures: dict[str, Any]) -> str:
    """List the model, then the baselines from best to worst: the order in which the plot draws them."""
    found = {
        baselines.LABELS[name]: rival
        for name, rival in figures["baselines"].items()
        if rival and rival["srcc"] is not None
    }
    rows = [("this model", "model", figures)] if figures["srcc"] is not None else []
    rows += [(name, "baseline", rival) for name, rival in sorted(found.items(), key=lambda item: -item[1]["srcc"])]
    drawn = [
        {
            "predictor": name,
            "kind": kind,
            "srcc": rival["srcc"],
            "low": (rival["srcc_ci"] or [None, None])[0],
            "high": (rival["srcc_ci"] or [None, None])[1],
            "ceiling": figures["ceiling"]["srcc"],
        }
        for name, kind, rival in rows
    ]
    columns = ["predictor", "kind", "srcc", "low", "high", "ceiling"]
    return pd.DataFrame(drawn, columns=columns).to_csv(index=False, lineterminator="\n")
