"""The training curve of an embedded model, as CSV and as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def write_curve(folder: Path, curve: Sequence[dict[str, Any]]) -> None:
    """training.csv and training.png: loss and probe by step."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "training.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(curve[0]))
        writer.writeheader()
        writer.writerows(curve)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "probe"):
        axes.semilogy([row["step"] for row in curve], [row[name] for row in curve], label=name)
    axes.set(xlabel="step", ylabel="loss", title=f"Pretraining of {folder.name}")
    axes.legend()
    figure.savefig(folder / "training.png", dpi=110)
