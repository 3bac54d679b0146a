import shutil
import signal

import pytest
from transformers import logging

from m3agiqa import bundle, shipped
from m3agiqa.model_card import render
from tests import tiny_mllm
from tests.trained import trained

logging.disable_progress_bar()
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_mllm.smolvlm(tmp_path_factory.mktemp("models") / "smolvlm")


@pytest.fixture(scope="session")
def parts(model, tmp_path_factory):
    """Read-only."""
    return trained(model, tmp_path_factory.mktemp("trained"), ("quality", "correspondence"))


@pytest.fixture(scope="session")
def small_judge(tmp_path_factory):
    """A folder like models/, read-only: a model called small, and a judge packed of it where it ships."""
    models = tmp_path_factory.mktemp("shipped")
    parts = trained(tiny_mllm.smolvlm(models / "small"), tmp_path_factory.mktemp("its"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "PLACES", (models,))
        bundle.pack(parts, models / "judge", render(bundle.cards(parts)))
    return models


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, whatever the shell of these tests has set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
