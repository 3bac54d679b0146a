"""One contract for every teacher: what becomes of an image that fails, of refusals, truncation, repeats and errors."""

import json
import re
from functools import partial

import pytest

from pipeline import paths
from pipeline.settings import load
from tests import every_teacher
from tests.caption_project import ASPECTS
from tests.captioned import IMAGES, SPLIT, captions, ends, run, totals
from tests.every_teacher import File, Local, Rules, look_at_sources, mllm_params, openai_params, well
from tests.gemini_server import TEXTS, GeminiServer
from tests.openai_server import OpenAIServer

SDKS = {"google-generativeai": "google.ai", "google-genai": "google.genai"}
HOSTED = [*SDKS, "openai"]
TELLING = [*HOSTED, "mllm", "file"]  # they say what they are told to
SEEN = {str(image) for image, part in enumerate(SPLIT) if part != "test"}
RATED = {**well(1), "quality": f"{TEXTS['quality']} All in all a solid four."}


@pytest.fixture
def taught(request, project, monkeypatch, tmp_path):
    """A teacher in its project; whoever fails, one image in ten may."""
    name, few = request.param, {"caption.max_failed": 0.1}
    if name in SDKS:
        pytest.importorskip(SDKS[name])
        with GeminiServer() as server:
            project(**few, **{"teachers.gemini.sdk": name})
            yield every_teacher.gemini(server, monkeypatch)
    elif name == "openai":
        pytest.importorskip("openai")
        with OpenAIServer() as server:
            project(**few, **openai_params(server))
            yield every_teacher.openai(server, monkeypatch)
    elif name == "mllm":
        project(**few, **mllm_params(tmp_path / "smolvlm"))
        look_at_sources()
        yield Local(monkeypatch)
    elif name == "file":
        project(**few, teacher="file", **{"teachers.file.path": "mine.csv"})
        yield File(tmp_path / "mine.csv")
    else:
        project(**few, teacher="offline")
        yield Rules()


hosted = partial(pytest.mark.parametrize("taught", HOSTED, indirect=True))
asked = partial(pytest.mark.parametrize("taught", [*HOSTED, "mllm"], indirect=True))
telling = partial(pytest.mark.parametrize("taught", TELLING, indirect=True))
every = partial(pytest.mark.parametrize("taught", [*TELLING, "offline"], indirect=True))


@every
def test_train_and_val_images_are_described_and_never_asked_about_again(taught):
    taught.say(well)
    run()
    assert set(captions()["image_id"]) == SEEN
    assert set(captions()["teacher"]) == {taught.kind}
    assert captions()[list(ASPECTS)].notna().all(axis=None)
    assert (totals()["images"], totals()["described"], totals()["failed"]) == (len(SEEN), len(SEEN), 0)
    assert not sum(taught.asked(image) for image, part in enumerate(SPLIT) if part == "test")
    assert taught.asked() == totals()["requests"] == totals()["answers"]
    asked, kept = taught.asked(), paths.captions("folder").read_bytes()
    run()
    assert taught.asked() == asked
    assert paths.captions("folder").read_bytes() == kept


@telling
def test_an_image_that_fails_fails_alone_and_is_left_alone(taught):
    reason = taught.fail(1)
    run()
    assert set(captions()["image_id"]) == SEEN - {"1"}
    assert (totals()["described"], totals()["failed"]) == (len(SEEN) - 1, 1)
    assert [said.startswith(reason) for said in totals()["failures"]] == [True]
    asked = taught.asked()
    taught.say(well)
    if taught.kind != "file":  # where it stands in the file now
        run()
        assert totals()["failed"] == 1
        assert taught.asked() == asked
        run(retry_blocked=True)
        assert taught.asked() == asked + 1
    run()
    assert totals()["failed"] == 0


@telling
def test_a_text_that_repeats_the_score_to_the_last_is_kept_and_counted(taught):
    taught.say(lambda image: RATED if image == 1 else well(image))
    run()
    assert captions().set_index("image_id").loc["1", "quality"] == RATED["quality"]
    assert (totals()["failed"], totals()["explanations_that_repeat_the_score"]) == (0, 1)
    assert taught.asked(1) == taught.tries
    run()
    assert taught.asked(1) == taught.tries


@asked
def test_an_answer_that_is_unusable_to_the_last_is_a_failure(taught):
    taught.say(lambda image: {**well(1), "quality": ""} if image == 1 else well(image))
    run()
    assert totals()["failures"] == {"unusable: empty": 1}
    assert taught.asked(1) == taught.tries
    assert taught.aspects(1) == [set(ASPECTS), *[{"quality"}] * (taught.tries - 1)]


@hosted
def test_what_the_model_will_not_describe_is_asked_once(taught):
    taught.but(1, taught.refusal)
    run()
    assert totals()["failures"] == {taught.refused: 1}
    assert taught.asked(1) == 1


@asked
def test_a_truncated_answer_is_asked_for_once_more(taught):
    taught.cut_off(1, '{"quality": "Edges are')
    run()
    assert totals()["failures"] == {"answer: MAX_TOKENS": 1}
    again = taught.aspects(1)[1:]  # of all aspects at once, or one by one
    assert sorted(aspect for aspects in again for aspect in aspects) == sorted(ASPECTS)
    asked = taught.asked()
    run()
    assert taught.asked() == asked


@hosted
def test_errors_that_pass_are_waited_for(taught):
    moves = taught.moves
    passing = [lambda _: moves.error(429), lambda _: moves.error(503), lambda request: moves.answer(request, sent=0.4)]

    def script(request):
        return (passing[request.number] if request.number < len(passing) else moves.answer)(request)

    taught.server.script = script
    run()
    assert len(captions()) == len(SEEN)
    assert totals()["requests"] == taught.asked() == len(SEEN) + len(passing)
    assert totals()["answers"] == len(SEEN)


@hosted
def test_a_daily_quota_ends_the_run_with_everything_kept(taught, capsys):
    moves = taught.moves
    taught.server.script = lambda request: moves.answer(request) if request.number < 5 else moves.daily_quota()
    status, said = ends(capsys)
    assert status == 75
    assert "run it again after" in said
    asked = taught.asked()
    taught.say(well)
    run()
    assert taught.asked() == asked + len(SEEN) - 5


@hosted
@pytest.mark.parametrize("what", ["bad_key", "bad_image"])
def test_where_nothing_is_accepted_one_line_says_so_and_no_image_is_to_blame(taught, capsys, tmp_path, what):
    taught.server.script = lambda _: getattr(taught.moves, what)()
    status, said = ends(capsys)
    assert status == 2
    assert re.search(r"answers 4\d\d: .*\(.+\)$", said)
    assert taught.asked() <= 4
    journal = tmp_path / f".cache/caption/{taught.kind}/answers.jsonl"
    assert not [line for line in journal.read_text().splitlines() if json.loads(line)["blocked"]]
    key = taught.moves.KEY
    assert key not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


@hosted
def test_without_the_key_nothing_is_sent_and_what_is_answered_is_still_there(taught, capsys, monkeypatch):
    for name in ("GEMINI_API_KEY", every_teacher.KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    status, said = ends(capsys)
    assert status == 2
    assert "is not set" in said
    assert not taught.asked()


@hosted
def test_a_dry_run_asks_nothing(taught, capsys):
    run(dry_run=True)
    assert f"{len(SEEN)} images, 0 of them failed before; {len(SEEN)} new requests" in capsys.readouterr().out
    assert not taught.asked()


@hosted
def test_another_request_is_another_answer_and_nothing_else_is(taught, project):
    taught.say(well)
    run()
    now = {"teacher": taught.kind, f"teachers.{taught.kind}": load().teachers[taught.kind].model_dump(mode="json")}
    project(**now, **{"runtime.teacher.concurrency": 1, "runtime.teacher.timeout": 9})
    run()
    assert taught.asked() == len(SEEN)
    project(**now, **{f"teachers.{taught.kind}.temperature": 0.5})
    run()
    assert taught.asked() == 2 * len(SEEN)


def test_every_teacher_is_in_the_table():
    kinds = {teacher.kind for teacher in load(every_teacher.PARAMS).teachers.values()}
    assert kinds == {"gemini", "openai", "mllm", "file", "offline"}
    assert len(SEEN) < IMAGES
