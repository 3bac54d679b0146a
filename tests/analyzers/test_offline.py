"""What the offline teacher promises of every explanation, whatever the image, the prompt and the comment."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from analyzers.measurements import measure
from analyzers.offline import GRADES, OfflineTeacher, route
from m3agiqa.aspects import ASPECTS

RATING_WORDS = re.compile(r"\b(bad|poor|fair|good|excellent)\b", re.IGNORECASE)


def picture(seed, size=48):
    """Random soft shapes: each seed differs in blur, noise, contrast and colour."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((size, size))
    pixels = np.asarray(coarse) * rng.uniform(0.2, 1) + rng.normal(0, rng.uniform(0, 25), (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(0, 2)))


PICTURES = [picture(seed) for seed in range(24)]
PICTURES += [Image.new("RGB", (32, 32), colour) for colour in ("black", "white")]
TEACHER = OfflineTeacher(map(measure, PICTURES))
ALL = dict.fromkeys(ASPECTS, 3.0)


def check(explanation):
    assert 9 <= len(explanation.split()) <= 80, explanation
    assert not re.search(r"\d", explanation), explanation
    assert not RATING_WORDS.search(explanation), explanation
    assert "\n" not in explanation
    assert explanation.endswith(GRADES)
    assert explanation == explanation.strip()


def of(seed=0, prompt="a ball", mos=3.0, comment="", aspect="quality"):
    return TEACHER.describe(PICTURES[seed], prompt, {aspect: mos}, comment)[aspect]


words = st.text(st.characters(codec="utf-8"), max_size=60)
remarks = words | st.lists(
    st.sampled_from(
        ["quality:", "Correspondence: ", "bad", "GOOD", "3", "12.5%", "²", "٣", "arms", "missing.", "\n", "a1a1a1"]
    ),
    max_size=40,
).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, len(PICTURES) - 1),
    prompt=words,
    mos=st.lists(st.floats(0, 5), min_size=3, max_size=3),
    comment=remarks,
)
def test_every_explanation_keeps_the_rules(seed, prompt, mos, comment):
    wanted = dict(zip(ASPECTS, mos, strict=True))
    explained = TEACHER.describe(PICTURES[seed], prompt, wanted, comment)
    assert list(explained) == list(ASPECTS)
    for explanation in explained.values():
        check(explanation)
    assert explained == TEACHER.describe(PICTURES[seed].copy(), prompt, wanted, comment)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("prompt", ["", "a ball", "一只红色的猫 🐈", "كرة حمراء"])
def test_every_grade_on_every_picture(aspect, prompt):
    for mos in np.arange(0, 5.01, 0.25):
        for seed in range(len(PICTURES)):
            check(of(seed, prompt, float(mos), aspect=aspect))


def test_only_the_aspects_asked_for():
    assert list(TEACHER.describe(PICTURES[0], "a ball", {"authenticity": 2.0}, "")) == ["authenticity"]


def test_the_phrase_follows_the_mos_and_nothing_else_in_the_order():
    said = [
        next(n for n, grade in enumerate(GRADES) if of(mos=mos).endswith(grade)) for mos in np.arange(0, 5.01, 0.25)
    ]
    assert said == sorted(said)
    assert set(said) == set(range(len(GRADES)))


def test_the_order_of_the_reference_does_not_matter():
    other = OfflineTeacher(map(measure, reversed(PICTURES)))
    for image in PICTURES:
        assert other.describe(image, "x", ALL, "") == TEACHER.describe(image, "x", ALL, "")


def test_explanations_are_not_one_template():
    said = {of(seed) for seed in range(24)}
    assert len(said) > 15


def test_findings_name_what_is_in_the_pixels():
    base = picture(5, 96)
    noise = np.random.default_rng(0).normal(0, 40, (96, 96, 3))
    noisy = Image.fromarray(np.clip(np.asarray(base) + noise, 0, 255).astype(np.uint8))
    blurred = base.filter(ImageFilter.GaussianBlur(4))
    for image, finding in ((noisy, "heavy grain covers the picture"), (blurred, "edges are blurred")):
        assert finding in TEACHER.describe(image, "x", {"quality": 1.0}, "")["quality"].lower()


def test_a_comment_goes_to_its_aspect():
    comment = "correspondence: 1 ball is missing. Authenticity: the cube is bent.\nA strange picture!"
    assert route(comment) == {
        "quality": "A strange picture!",
        "correspondence": "One ball is missing. A strange picture!",
        "authenticity": "The cube is bent. A strange picture!",
    }
    assert "One ball is missing." in of(comment=comment, aspect="correspondence")
    assert "missing" not in of(comment=comment, aspect="quality")


def test_the_comment_replaces_the_stock_sentence():
    assert "Everything that was asked for is there" in of(mos=4.9, aspect="correspondence")
    assert "Everything" not in of(mos=4.9, comment="correspondence: a ball is missing.", aspect="correspondence")


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_comment_of_one_word_keeps_the_rules(aspect):
    check(of(mos=1.5, comment="0", aspect=aspect))


@pytest.mark.parametrize(
    ("comment", "cleaned"),
    [
        ("bad hands, Poor light", "Weak hands, weak light."),
        ("it has 3 arms and 250 fingers", "It has three arms and several fingers."),
        ("rated 2.5 of 10", "Rated several of ten."),
        ("...", ""),
        ("quality: ", ""),
        ("a\x00b", "A b."),
        ("the badge is goodly", "The badge is goodly."),
        ("authent\u0131city: fa\u0131r", "Authent\u0131city: fa\u0131r."),
        ("correspondence：少了一个球。画面很糊。", "画面很糊。"),
    ],
)
def test_comments_are_cleaned(comment, cleaned):
    assert route(comment)["quality"] == cleaned


def test_long_comments_are_cut():
    assert len(route("word " * 100)["quality"].split()) <= 44
    assert len(route("字" * 500)["quality"].encode()) <= 260


def test_no_request_to_compare_with():
    assert "No request came with the picture" in of(prompt=" ", aspect="correspondence")


def test_a_teacher_needs_a_reference():
    with pytest.raises(ValueError, match="no reference"):
        OfflineTeacher([])
