"""Fail unless the last run's figures are above their floors."""

import json
import sys
from pathlib import Path

FLOORS = {"quality": 0.90, "correspondence": 0.75, "authenticity": 0.75}  # of the ceiling, SRCC on test

metrics = json.loads(Path("results/metrics.json").read_text(encoding="utf-8"))
reached, floor = metrics["srcc_of_ceiling"], FLOORS[metrics["aspect"]]
beaten_by = [name for name, rival in metrics["baselines"].items() if rival and rival["srcc"] >= metrics["srcc"]]
print(f"{metrics['aspect']}: SRCC {metrics['srcc']:.3f}, {reached:.3f} of the ceiling (floor {floor})")
if reached < floor or beaten_by:
    sys.exit(f"below the floor, or below a baseline: {beaten_by}")
