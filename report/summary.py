"""What a run reached, in a few lines for a terminal: `python -m report.summary`, as `make repro` ends."""

import sys
from collections.abc import Mapping
from typing import Any

from evaluation.baselines import LABELS
from m3agiqa.aspects import ASPECTS
from m3agiqa.exits import told_in_one_line
from m3agiqa.files import read_json
from pipeline import paths


def summary(figures: Mapping[str, Any]) -> list[str]:
    """The lines, from what results/evaluation.json holds: the figure, its interval, its rival, what to do next."""
    on = figures["dataset"] if not figures["cross"] else f"{figures['dataset']}, tested on {figures['on']}"
    gain, interval, chance = figures["gain"], figures["interval"], _figure(figures["choosing"]["chance"])
    return [
        f"{figures['aspect']} on {on}: MLLM {figures['mllm']}, head {figures['head']}",
        f"{figures['n_train']} images to train, {figures['n_val']} to choose on, {figures['n']} tested once",
        "",
        f"  SRCC      {_figure(figures['srcc'])}  {_interval(figures['srcc_ci'])}",
        f"  PLCC      {_figure(figures['plcc'])}  {_interval(figures['plcc_ci'])}",
        f"  RMSE      {_figure(figures['rmse'])}  {_interval(figures['rmse_ci'])}",
        f"  pairs     {_figure(figures['pairs_within_prompt'])}  share of pairs within a prompt in the right order",
        f"  best      {_figure(figures['best_of_prompt'])}  prompts whose best image it picks; by chance {chance}",
        *_baseline(figures, gain),
        f"  fast      {_figure(figures['fast']['srcc'])}  SRCC of the judge that writes no description",
        f"  interval  ±{_figure(interval['half_width'])} {_held(interval['coverage'])}",
        "",
        "simulated data: rendered scenes, made-up raters" if "synthetic" in (figures["dataset"], figures["on"]) else "",
        "results/report.html  all figures, on one page",
        f"next: dvc exp run -S aspect={_other(figures['aspect'])}",
        f"      m3agiqa predict FILE --prompt TEXT --dataset {figures['dataset']}  (in .venv: python -m m3agiqa)",
    ]


def _baseline(figures: Mapping[str, Any], gain: Mapping[str, Any] | None) -> list[str]:
    if gain is None:
        return ["  baseline  none can be computed here"]
    best = figures["baselines"][gain["over"]]
    return [
        f"  baseline  {_figure(best['srcc'])}  SRCC of {LABELS[gain['over']]}, the best one on val",
        f"  gain      {_figure(gain['srcc'], sign=True)}  {_interval(gain['srcc_ci'])}",
    ]


def _other(aspect: str) -> str:
    return ASPECTS[(ASPECTS.index(aspect) + 1) % len(ASPECTS)]


def _figure(value: float | None, *, sign: bool = False) -> str:
    return "    –" if value is None else f"{value:{'+' if sign else ''}.3f}"


def _interval(edges: list[float] | None) -> str:
    return "no interval" if edges is None else f"95 % interval {edges[0]:.3f} to {edges[1]:.3f}"


def _held(coverage: float | None) -> str:
    share = "an unknown share" if coverage is None else f"{coverage:.0%}"
    return f"held the MOS of {share} of the test images"


if __name__ == "__main__":
    with told_in_one_line("summary"):
        print("\n".join(summary(read_json(paths.EVALUATION))), file=sys.stdout)
