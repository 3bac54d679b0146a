import gc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from tests import parsed, warm

# The longest first, where files go to several processes one by one (make test): what begins last holds up nobody then.
# The second is no file of tests/whole, all of which wait for one run of the whole pipeline.
LONG = ["whole/test_kill.py", "m3agiqa/test_workers.py", "whole/test_repro.py", "whole/test_experiments.py"]
LONG += ["whole/test_scoring.py", "whole/test_settings_read.py", "m3agiqa/test_judge.py", "whole/test_own_data.py"]
LONG += ["stages/test_caption_faults.py", "m3agiqa/test_rendered_scenes.py", "m3agiqa/test_wheel.py"]
LONG += ["m3agiqa/test_cluster.py", "finetune/test_train_head.py", "finetune/test_distill.py"]
LONG += ["evaluation/test_compare.py", "benchmarks/test_full_size.py", "pipeline/test_processes.py"]
PLACES = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}

gc.disable()  # while tests are collected: nothing that they import is garbage


def pytest_configure(config: pytest.Config) -> None:
    folder = TemporaryDirectory(prefix="parsed-")
    parsed.remember(Path(folder.name))
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: PLACES.get(item.path, len(PLACES)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder with a `python` and a `dvc` that start at once."""
    with warm.programs() as folder:
        yield folder


@pytest.fixture(autouse=True)
def seed():
    """Whatever a test draws from torch without a seed of its own, it draws the same in any order of tests."""
    torch.manual_seed(0)
