"""Which of a stage's several processes this is, before torch is there to say it."""

import os

RANK = "RANK"  # set in each of several processes, by pipeline/processes.py or by `accelerate launch`


def is_first() -> bool:
    """Whether it is the first, or the only one."""
    return os.environ.get(RANK, "0") == "0"
