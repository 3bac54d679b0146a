import pytest
import torch


@pytest.fixture(autouse=True)
def seed():
    """Whatever a test draws from torch without a seed of its own, it draws the same in any order of tests."""
    torch.manual_seed(0)
