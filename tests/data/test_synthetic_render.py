"""The renderer, the filters, and that faults are seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.synthetic.captions import draw_example
from data.synthetic.faults import AUTHENTICITY, CROSSTALK, QUALITY, draw_picture
from data.synthetic.layouts import lay_out
from data.synthetic.render import render
from data.synthetic.scenes import KINDS, Group, Scene, draw_scene
from data.synthetic.shapes import PAINT

SIZE = 48


def rng(seed):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def layouts():
    generator = rng(5)
    return [draw_example(generator)[0] for _ in range(6)]


def test_same_layouts_same_pixels_whatever_the_chunk(layouts):
    whole = render(layouts, SIZE)
    assert whole.shape == (6, SIZE, SIZE, 3)
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, render(layouts, SIZE))
    assert torch.equal(whole, render(layouts, SIZE, chunk=4))
    assert torch.equal(whole[3:4], render(layouts[3:4], SIZE))


def test_size_must_fit_the_tiles(layouts):
    with pytest.raises(ValueError, match="multiple of 8"):
        render(layouts[:1], 50)
    assert render([], SIZE).shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_things_show_their_colour(kind):
    scene = Scene((Group(1, "purple", kind),), None, "snow", "noon", "photograph")
    pixels = render([lay_out(scene, rng(1))], SIZE)[0].float() / 255
    hue = pixels / pixels.norm(dim=-1, keepdim=True)
    purple = torch.tensor(PAINT["purple"], dtype=torch.float32)
    alike = (hue * purple / purple.norm()).sum(-1) > 0.985
    assert 0.02 < alike.float().mean() < 0.6


def picture(quality=None, authenticity=None, changes=(), seed=4):
    generator = rng(seed)
    groups = (Group(2, "red", "cube"), Group(1, "blue", "tree"))
    scene = Scene(groups, "left of", "sand", "morning", "photograph")
    return draw_picture(scene, quality or {}, changes, authenticity or {}, generator)


SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("fault", QUALITY)
def test_quality_falls_with_severity(fault):
    pictures = [picture({fault: value}) for value in SEVERITIES]
    truths = [one.truth["quality"] for one in pictures]
    assert truths[0] == 5
    assert np.all(np.diff(truths) < -0.5)
    pixels = render([one.layout for one in pictures], SIZE).float()
    change = (pixels - pixels[0]).abs().mean((1, 2, 3))
    assert change[0] == 0
    assert change[1] > 0.2
    assert change[-1] > 1.5 * change[1]


@pytest.mark.parametrize("fault", AUTHENTICITY)
def test_authenticity_falls_with_severity(fault):
    pictures = [picture(authenticity={fault: value}) for value in SEVERITIES]
    truths = [one.truth["authenticity"] for one in pictures]
    assert truths[0] == 5
    assert np.all(np.diff(truths) < -0.3)
    assert all(one.truth["quality"] == one.truth["correspondence"] == 5 for one in pictures)
    pixels = render([one.layout for one in pictures], SIZE).float()
    change = (pixels - pixels[0]).abs().mean((1, 2, 3))
    assert change[0] == 0
    assert np.all(change[1:].numpy() > 0.4)


def test_correspondence_falls_with_every_change():
    one, two = picture(changes=("colour",)), picture(changes=("colour", "missing"))
    assert 5 > one.truth["correspondence"] > two.truth["correspondence"] > 0
    assert one.truth["quality"] == one.truth["authenticity"] == 5


def test_crosstalk_is_small():
    clean, spoilt = picture(), picture({"blur": 1.0})
    assert clean.truth == {"quality": 5, "correspondence": 5, "authenticity": 5}
    assert spoilt.truth["quality"] == 0
    assert spoilt.truth["correspondence"] == spoilt.truth["authenticity"] == 5 * (1 - CROSSTALK)


def test_a_thing_alone_has_no_contradictory_light():
    scene = Scene((Group(1, "red", "ball"),), None, "sand", "morning", "photograph")
    alone = draw_picture(scene, {}, (), {"light": 1.0}, rng(1))
    assert alone.authenticity == {}
    assert alone.layout.bodies[0].light is None


def test_repetition_shows_on_every_ground():
    for ground in ("grass", "sand", "snow", "wood", "tiles"):
        scene = replace(draw_scene(rng(2), reserved=True), ground=ground, style="clay render")
        plain = lay_out(scene, rng(3))
        pixels = render([plain, replace(plain, repeat=0.9)], SIZE).float()
        assert (pixels[0] - pixels[1]).abs().mean() > 3
