"""The README of a bundle: what a hub reads at its head, and that its figures are the cards'."""

import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML

from m3agiqa.card import Card, read_card
from m3agiqa.model_card import Terms, render, terms


@pytest.fixture
def cards(parts) -> dict[str, Card]:
    return {aspect: read_card(part.card) for aspect, part in parts.items()}


def head(text: str) -> dict:
    """By another reader of YAML than the one that wrote it."""
    begin, yaml, _ = text.split("---\n", 2)
    assert begin == ""
    return YAML(typ="safe").load(yaml)


def changed(cards: dict[str, Card], **values) -> dict[str, Card]:
    return {aspect: card.model_copy(update=values) for aspect, card in cards.items()}


def test_a_hub_reads_each_aspects_figures_apart(cards):
    cards["quality"].figures.update(srcc=0.123456, plcc=0.5)
    found = head(render(cards))
    assert found["library_name"] == "m3-agiqa"
    assert found["tags"] == ["image-quality-assessment", "quality", "correspondence"]
    assert found.keys() == {"library_name", "tags", "model-index"}
    (model,) = found["model-index"]
    assert model["name"] == "m3-agiqa-made"
    quality, correspondence = model["results"]
    assert quality == {
        "task": {"type": "image-quality-assessment", "name": "Image quality assessment: quality"},
        "dataset": {"name": "made", "type": "made", "config": "quality", "split": "test"},
        "metrics": [
            {"type": "spearmanr", "value": 0.123456, "name": "SRCC"},
            {"type": "pearsonr", "value": 0.5, "name": "PLCC"},
        ],
    }
    assert correspondence["dataset"]["config"] == "correspondence"
    assert correspondence["metrics"] == [{"type": "spearmanr", "value": 0.5, "name": "SRCC"}]  # and no PLCC: none there


def test_huggingface_hub_reads_back_what_it_wrote(cards):
    data = ModelCard(render(cards, licence="cc-by-nc-4.0")).data
    assert data.license == "cc-by-nc-4.0"
    assert {(each.dataset_config, each.metric_type, each.metric_value) for each in data.eval_results} == {
        ("quality", "spearmanr", 0.5),
        ("correspondence", "spearmanr", 0.5),
    }


def test_what_is_simulated_is_called_so(cards):
    assert "simulated" not in render(cards)
    text = render(changed(cards, world="simulated", dataset="synthetic"))
    found = head(text)
    assert "simulated" in found["tags"]
    for result in found["model-index"][0]["results"]:
        assert result["dataset"] == {
            "name": "synthetic (simulated: rendered scenes and a made-up panel of raters)",
            "type": "synthetic",
            "config": result["dataset"]["config"],
            "split": "test",
        }
    assert "data set `synthetic` (simulated: rendered scenes and a made-up panel of raters), 12 images" in text


def test_a_base_model_is_named_where_it_lies_on_the_hub(cards):
    assert "base_model" not in head(render(cards))
    mllm = cards["quality"].mllm.model_copy(update={"model": "owner/model", "revision": "0" * 40})
    cards["quality"] = cards["quality"].model_copy(update={"mllm": mllm})
    assert head(render(cards))["base_model"] == ["owner/model"]


def test_a_folder_is_named_without_the_path_to_it(cards, model):
    text = render(cards)
    assert f"| base model | `{model.name}`, float32" in text
    assert str(model.parent) not in text


def test_without_any_figure_there_are_no_results(cards):
    figures = cards["quality"].figures | {"srcc": None, "plcc": None}
    assert head(render(changed(cards, figures=figures))).keys() == {"library_name", "tags"}


@pytest.mark.parametrize("dataset", ["yes", "a: b", "# none", "täglich", "0123"])
def test_any_name_is_yaml(cards, dataset):
    for result in head(render(changed(cards, dataset=dataset)))["model-index"][0]["results"]:
        assert result["dataset"]["name"] == result["dataset"]["type"] == dataset


@pytest.mark.parametrize("given", [Terms(), Terms("Two lines,\n**bold**."), Terms(licence="mit"), Terms("A.", "mit")])
def test_its_terms_are_read_back(cards, given):
    text = render(cards, *given)
    assert terms(text) == given
    assert render(cards, *terms(text)) == text


def test_the_same_cards_give_the_same_bytes_with_the_figures_in_the_text(cards):
    text = render(cards)
    assert text == render(cards)
    assert "| SRCC on 3 test images | 0.500 |" in text
    assert "| without a description (`--fast`) | SRCC 0.400 on the same images |" in text
    assert text.count("\n## ") == 2
