"""Fail unless the last run's figures are above their floors."""

import json
import sys
from pathlib import Path

FLOORS = {"quality": 0.90, "correspondence": 0.75, "authenticity": 0.75}  # of the ceiling, SRCC on test

figures = json.loads(Path("results/evaluation.json").read_text(encoding="utf-8"))
reached, floor, gain = figures["srcc_of_ceiling"], FLOORS[figures["aspect"]], figures["gain"]
print(f"{figures['aspect']}: SRCC {figures['srcc']:.3f}, {reached:.3f} of the ceiling (floor {floor})")
print(f"best baseline on val: {gain['over']}; gain over it {gain['srcc']:+.3f}, 95 % interval {gain['srcc_ci']}")
if reached < floor:
    sys.exit("below the floor")
if gain["srcc_ci"][1] < 0:
    sys.exit(f"worse than the baseline {gain['over']}")
