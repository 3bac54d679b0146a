"""What a refresh asks again when it is killed on the way: whatever was answered before its time, and nothing else."""

import json
from datetime import UTC, datetime

import pytest

from m3agiqa.mllm.readings import Written
from pipeline import paths
from tests.caption_project import ASPECTS
from tests.captioned import captions, run, totals
from tests.every_teacher import Local, look_at_sources, mllm_params, well
from tests.gemini_server import TEXTS, answer, daily_quota

NEW = {aspect: f"{TEXTS[aspect]} So it looks now." for aspect in ASPECTS}


def now_said():
    return {aspect: set(captions()[aspect]) for aspect in ASPECTS}


def test_a_model_of_this_machine_that_is_killed_after_an_answer_that_is_unusable(project, monkeypatch, tmp_path):
    project(**mllm_params(tmp_path / "smolvlm"), **{"runtime.batch": 5})
    look_at_sources()
    model = Local(monkeypatch)
    model.say(well)
    run()
    begun, images = datetime.now(UTC), len(model.asks)

    def speak(ask):
        if len(model.asks) > 2 * images:  # when each was asked about everything at once, in vain
            raise KeyboardInterrupt
        return Written("No JSON." if ask.together else NEW[ask.aspects[0]], ended=True)

    model.speak(speak)
    with pytest.raises(KeyboardInterrupt):
        run(refresh=begun)
    assert all(ask.together for ask in model.asks[: 2 * images])
    model.speak(lambda ask: Written(ask.answer(NEW), ended=True))
    left = len(model.asks)
    run(refresh=begun)
    assert {ask.together for ask in model.asks[left:]} == {False}
    assert now_said() == {aspect: {NEW[aspect]} for aspect in ASPECTS}
    kept, asked, spent = paths.captions("folder").read_bytes(), len(model.asks), totals()
    run(refresh=begun)
    assert (paths.captions("folder").read_bytes(), len(model.asks), totals()) == (kept, asked, spent)


@pytest.mark.usefixtures("server")
def test_a_service_that_ends_the_run_after_an_answer_that_is_unusable(project, server):
    run()
    before, begun = len(server.requests), datetime.now(UTC)
    bad = json.dumps({**NEW, "quality": ""})

    def once_each(request):
        asked = [other.image for other in server.requests[before:]].count(request.image)
        return answer(request, said=bad) if asked == 1 else daily_quota()

    server.script = once_each
    with pytest.raises(SystemExit):
        run(refresh=begun)
    server.script = lambda request: answer(request, said=NEW)
    run(refresh=begun)
    assert now_said() == {aspect: {NEW[aspect]} for aspect in ASPECTS}
    assert totals()["failed"] == 0


@pytest.mark.usefixtures("server")
def test_an_image_that_a_service_answers_in_vain_keeps_what_was_said_of_it_before(project, server):
    run()
    begun, known = datetime.now(UTC), captions()
    image = server.requests[0].image
    bad = json.dumps({**NEW, "quality": ""})
    server.script = lambda request: answer(request, said=bad if request.image == image else NEW)
    run(refresh=begun)
    asked = len(server.requests)
    run(refresh=begun)
    assert len(server.requests) == asked
    assert now_said() == {"quality": {NEW["quality"], TEXTS["quality"]}, "correspondence": {NEW["correspondence"]}}
    assert list(captions()["quality"]).count(TEXTS["quality"]) == 1
    assert len(captions()) == len(known)
    assert totals()["failed"] == 0
