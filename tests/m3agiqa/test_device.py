"""Of several processes each runs on its own GPU, however the device was asked for."""

import pytest
import torch

from m3agiqa.device import device


@pytest.mark.parametrize(
    ("asked", "rank", "there", "found"),
    [
        ("auto", None, False, "cpu"),
        ("auto", "1", False, "cpu"),
        ("auto", None, True, "cuda"),
        ("auto", "1", True, "cuda:1"),
        ("cuda", None, True, "cuda"),
        ("cuda", "1", True, "cuda:1"),
        ("cpu", "1", True, "cpu"),
        ("cuda:3", "1", True, "cuda:3"),
        ("mps", None, False, "mps"),
    ],
)
def test_the_device_of_a_process(monkeypatch, asked, rank, there, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert device(asked) == found
