"""Which answers the caption stage asks for again, how often, and what stands after the last."""

import json

import pytest

from pipeline import paths
from tests.caption_project import ASPECTS
from tests.captioned import captions, run, totals
from tests.gemini_server import TEXTS, answer, blocked_prompt, daily_quota

pytestmark = pytest.mark.usefixtures("server")

RATED = {**TEXTS, "quality": f"{TEXTS['quality']} All in all a solid four."}
JOURNAL = ".cache/caption/gemini/answers.jsonl"


def one(bad):
    """A service that answers well, but image 1."""
    return lambda request: bad(request) if '"ball 1"' in request.text else answer(request)


def cut(request):
    return answer(request, finish="MAX_TOKENS", said='{"quality": "Edges are')


def asked(server):
    return [request.aspects for request in server.requests if '"ball 1"' in request.text]


def test_a_truncated_answer_is_asked_for_once_more(project, server):
    moves = iter([cut, answer])

    def next_move(request):
        return next(moves)(request)

    server.script = one(next_move)
    run()
    assert len(asked(server)) == 2
    assert totals()["failed"] == 0
    assert len(captions()) == 12


def test_a_second_truncated_answer_is_final(project, server):
    project(**{"caption.max_failed": 0.2})
    server.script = one(cut)
    run()
    assert len(asked(server)) == 2
    assert totals()["failures"] == {"answer: MAX_TOKENS": 1}
    run()
    assert len(asked(server)) == 2
    server.script = answer
    run(retry_blocked=True)
    assert totals()["failed"] == 0


def test_a_truncated_answer_of_an_earlier_version_counts(project, server, tmp_path):
    """Its journal knew neither second answers nor the texts that repeat the score; nothing else is asked again."""
    project(**{"caption.max_failed": 0.2})
    server.script = one(cut)
    run()
    records = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    number = next(number for number, record in enumerate(records) if record["blocked"])
    records.pop(number)
    for record in records:
        del record["repeating"]
    (tmp_path / JOURNAL).write_text("".join(json.dumps(record) + "\n" for record in records))
    before = len(server.requests)
    run()
    assert len(server.requests) == before + 1
    assert totals()["failures"] == {"answer: MAX_TOKENS": 1}


def test_after_the_last_try_a_text_that_repeats_the_score_is_kept_and_counted(project, server, capsys):
    server.script = one(lambda request: answer(request, said=RATED))
    run()
    assert list(map(set, asked(server))) == [set(ASPECTS), {"quality"}, {"quality"}]
    assert captions().set_index("image_id").loc["1", "quality"] == RATED["quality"]
    assert (totals()["described"], totals()["failed"], totals()["explanations_that_repeat_the_score"]) == (12, 0, 1)
    assert "images/1.png: quality repeats the score, and is kept" in capsys.readouterr().err
    kept = paths.captions("folder").read_bytes()
    run()
    run(retry_blocked=True)
    assert len(asked(server)) == 3
    assert paths.captions("folder").read_bytes() == kept


@pytest.mark.parametrize("last", [blocked_prompt, lambda request: answer(request, said={"quality": ""})])
def test_it_is_kept_over_runs_and_whatever_comes_last(project, server, last):
    said = {"quality": RATED["quality"], "correspondence": TEXTS["correspondence"]}
    server.script = lambda request: answer(request, said=said) if request.number < 1 else daily_quota()
    with pytest.raises(SystemExit):
        run()
    first = server.prompts()[0]
    server.script = lambda request: last(request) if f'"{first}"' in request.text else answer(request)
    run()
    assert (totals()["described"], totals()["explanations_that_repeat_the_score"]) == (12, 1)
    assert RATED["quality"] in set(captions()["quality"])


def test_a_usable_text_is_better(project, server):
    moves = iter([{"quality": RATED["quality"]}, TEXTS])
    server.script = one(lambda request: answer(request, said=next(moves)))
    run()
    assert len(asked(server)) == 2
    assert set(captions()["quality"]) == {TEXTS["quality"]}
    assert totals()["explanations_that_repeat_the_score"] == 0


@pytest.mark.parametrize("written", ["```json\n%s\n```", "[%s]", "%s}", "Here it is: %s"])
def test_json_that_is_there_is_seen_at_once(project, server, written):
    server.script = lambda request: answer(request, said=written % json.dumps(TEXTS))
    run()
    assert len(server.requests) == len(captions()) == 12
