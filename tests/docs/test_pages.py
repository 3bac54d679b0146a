"""What the pages name is there: links, files, params, commands and their options, published figures."""

import argparse
import re
import shlex
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module

import pandas as pd
import pytest
from ruamel.yaml import YAML

from m3agiqa.__main__ import COMMANDS
from pipeline.settings import Settings
from tests.docs.pages import ROOT, Page

PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
PLACES = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
# What the stages write, what an example of CONTRIBUTING.md makes, and what is gone.
MADE = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.startswith("/")]
MADE += ["data/readers/my_set.py", "analyzers/program.py", "data/my_images", "data/my_captions.csv", "data/images.py"]

DVCS = {"--temp", "--queue"}  # options of dvc exp run
OPTIONAL = {"datasets.folder.raters"}  # of a profile, and not in params.yaml as it is


def commands(page: Page) -> Iterator[str]:
    """The lines of its shell blocks, those that go on made one, without comments; what it says in other places."""
    for block in page.blocks:
        if block.language == "bash":
            for line in block.code.replace("\\\n", " ").splitlines():
                yield from re.split(r"&&|;|\bdo\b", re.sub(r"\s#.*", "", line))
    for line in re.findall(r"<!-- made by: (.*) -->", page.text):
        yield from line.split("; ")
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", page.text))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_links_lead_somewhere(pages):
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            file = (page.path.parent / name).resolve() if name else page.path
            assert file.exists(), f"{page.path.name}: {target}"
            if anchor:
                titles = re.findall(r"(?m)^#+ (.*)", file.read_text(encoding="utf-8"))
                anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
                assert anchor in anchors, f"{page.path.name}: {target}"


def test_files_that_are_named_are_there(pages):
    named = re.compile(rf"(?<![\w./-])(?:{'|'.join(PLACES)})/[\w./-]*|(?<![\w./<>-])[\w-]+\.(?:md|txt|toml|yaml)\b")
    for page in pages:
        for path in named.findall(page.text):
            if not path.startswith(tuple(MADE)):
                places = ROOT / path.rstrip("."), page.path.parent / path.rstrip(".")
                assert any(place.exists() for place in places), f"{page.path.name}: {path}"


def _set(values: dict, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    values[last] = value


def _has(key: str) -> bool:
    values = PARAMS
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _first(value: str) -> object:
    """The first value of a sweep."""
    if sweep := re.fullmatch(r"range\((\d+),\d+\)", value):
        return int(sweep[1])
    return YAML(typ="safe").load(value if value.startswith("[") else value.partition(",")[0])


def test_settings_that_are_set_exist_and_go_together(pages):
    """But for those of the examples in CONTRIBUTING.md, which are tried there."""
    found = 0
    for page in pages:
        for command in commands(page):
            changes = re.findall(r"-S '?([\w.-]+)=([^\s']*)", command)
            if page.path.name == "CONTRIBUTING.md" or not changes:
                continue
            values = deepcopy(PARAMS)
            for key, value in changes:
                found += 1
                assert _has(key), f"{page.path.name}: -S {key}"
                if "…" not in value and "$" not in value:
                    _set(values, key, _first(value))
            Settings.model_validate(values)
    assert found > 40


def test_params_that_are_named_exist(pages):
    sections = "|".join(key for key, value in PARAMS.items() if isinstance(value, dict))
    for page in pages:
        for text in re.findall(r"`([^`\n]+)`", page.text):
            if named := re.fullmatch(rf"((?:{sections})\.[\w.-]+)(?:: .*)?", text):
                assert named[1] in OPTIONAL or _has(named[1]), f"{page.path.name}: {text}"


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    import_module(COMMANDS[command].module).add_arguments(parser)
    return parser


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_have_the_options_that_are_named(name, pages):
    parser = _parser(name)
    for page in pages:
        for command in commands(page):
            if (given := re.search(rf"\bm3agiqa {name}\b(.*)", command)) is None:
                continue
            options = re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", given[1])
            assert set(options) <= _options(parser), f"{page.path.name}: {command}"
            if command.startswith("python -m") and not {"…", "DIR", "FILE", "--help"} & set(command.split()):
                parser.parse_args(shlex.split(given[1]))


def test_options_that_are_named_alone_are_some_commands(pages):
    known = set().union(*(_options(_parser(name)) for name in COMMANDS), DVCS)
    for page in pages:
        for option in re.findall(r"`(--[a-z-]+)[^`]*`", page.text):
            assert option in known, f"{page.path.name}: {option}"


def test_the_readme_has_every_option_of_predict(pages):
    (readme,) = (page for page in pages if page.path.name == "README.md")
    named = set(re.findall(r"--[a-z][a-z-]*", readme.section("Score an image").text))
    assert _options(_parser("predict")) - {"-h"} <= named


def test_programs_are_there(pages):
    """`python -m stages.…` and the like, with their options, and the targets of make; the changelog has old ones."""
    targets = set(re.findall(r"^([\w$()/.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages:
        for command in commands(page) if page.path.name != "CHANGELOG.md" else ():
            for module, given in re.findall(r"-m ((?:stages|benchmarks|finetune|report)\.[\w.]+)(.*)", command):
                place = ROOT / module.replace(".", "/")
                source = place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__main__.py"
                assert source.exists(), f"{page.path.name}: {command}"
                for option in re.findall(r"(?<![\w-])(--[a-z][\w-]*)", given):
                    helper = ROOT / "benchmarks/cached_states.py"
                    assert option in source.read_text() + helper.read_text(), f"{page.path.name}: {command}"
            if target := re.match(r"make (\w+)$", command.strip()):
                assert target[1] in targets, f"{page.path.name}: {command}"


def test_published_figures_are_those_that_compare_shows():
    table = pd.read_csv(ROOT / "evaluation/published_figures.csv", dtype=str, keep_default_na=False)
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("paper.md", "real_images.md"))
    for row in table.to_dict("records"):
        lines = re.findall(rf"(?m)^\| {re.escape(row['method'])}[ ,].*", text)
        figure = " / ".join(filter(None, (row["srcc"], row["plcc"])))
        assert any(f"| {figure} |" in line for line in lines), row
