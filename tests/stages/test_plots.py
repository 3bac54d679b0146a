"""The plot templates, filled by DVC's own renderer."""

import json
from pathlib import Path

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

PLOTS = Path(__file__).parents[2] / ".dvc" / "plots"
ANCHORS = ("data", "title", "x", "x_label", "y", "y_label")
TEMPLATES = sorted(path.stem for path in PLOTS.glob("*.json"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_every_anchor(name):
    text = (PLOTS / f"{name}.json").read_text(encoding="utf-8")
    assert [anchor for anchor in ANCHORS if f"<DVC_METRIC_{anchor.upper()}>" not in text] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_is_filled_completely(name):
    rows = [{"rev": rev, "across": "1.5", "up": "2"} for rev in ("workspace", "HEAD")]
    labels = {"title": "Title", "x_label": "across (px)", "y_label": "up (px)"}
    renderer = VegaRenderer(rows, name, template=name, template_dir=str(PLOTS), x="across", y="up", **labels)
    filled = json.dumps(renderer.get_filled_template())
    assert "DVC_METRIC" not in filled
    assert all(json.dumps(text) in filled for text in labels.values())


def test_page_takes_dvcs_plots_and_needs_no_network():
    page = (PLOTS / "page.html").read_text(encoding="utf-8")
    assert "<script src" not in page
    assert "<link" not in page
    whole = HTML(page).with_scripts("cdn").with_element("PLOT").embed()
    assert whole.count("\nPLOT\n") == 1
    assert "{refresh_tag}" not in whole
