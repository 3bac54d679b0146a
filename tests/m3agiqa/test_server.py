"""The server over real HTTP: the scorer's own scores, an answer for everyone, limits, a key, and an orderly end."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from m3agiqa.answers import AspectScore
from m3agiqa.gate import Limits
from m3agiqa.scorer import Scorer
from tests.served import JUNK, KEY, Held, plain, png, refused, served, told


@pytest.fixture(scope="module")
def scorer(parts):
    return Scorer(parts, device="cpu", batch=8)


@pytest.fixture(scope="module")
def server(scorer):
    with served(scorer) as running:
        yield running


@pytest.fixture
def held(parts):
    return Held({"quality": parts["quality"]}, device="cpu", batch=8)


def test_a_score_is_the_scorers(server, scorer):
    images, prompts = [png(60), png(61), JUNK, png(62, width=8)], ["a red cat", "", "a dog", "a bird"]
    expected = {aspect: scorer.score_batch(images, prompts, aspect=aspect) for aspect in scorer.aspects}
    for row, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        (scores,) = told(server.ask(image, prompts=[prompt]))
        if "cat" in prompt:
            assert scores["quality"]["status"] == scores["correspondence"]["status"] == "ok"
        assert list(scores) == list(scorer.aspects)
        assert scores["quality"] == json.loads(json.dumps(plain(expected["quality"][row]))) | {
            "score": pytest.approx(expected["quality"][row].score, abs=1e-4),
            "interval": pytest.approx(plain(expected["quality"][row])["interval"], abs=1e-4),
            "percentile": pytest.approx(expected["quality"][row].percentile, abs=0.01),
        }


def test_alone_it_is_the_same_to_the_last_bit(server, scorer):
    (scores,) = told(server.ask(png(63), prompts="a cube"))
    assert scores == {aspect: plain(scorer([png(63)], ["a cube"], aspect=aspect)[0]) for aspect in scorer.aspects}


def test_one_bad_image_fails_alone_and_prompts_go_by_position(server):
    good, bad, silent = told(server.ask(png(60), JUNK, png(61), prompts=["a cat", "a dog", ""]))
    assert {score["status"] for score in good.values()} == {"ok"}
    for score in bad.values():
        assert score["status"].startswith("failed: image: not an image")
        assert (score["score"], score["interval"], score["scale"], score["warnings"]) == (None, None, None, [])
    assert silent["quality"]["status"] == "ok"
    assert silent["correspondence"]["status"] == "refused: correspondence needs the prompt"


def test_one_aspect_alone(server):
    (scores,) = told(server.ask(png(60), aspect="quality"))
    assert list(scores) == ["quality"]
    assert scores["quality"]["scale"] == {"low": 0, "high": 5}


def test_32_clients_at_once_get_each_their_own(parts):
    """Uneven requests, a bad file in every third: nothing is lost, nothing is mixed up."""
    scorer = Scorer({"quality": parts["quality"]}, device="cpu", batch=8)
    asked = [[png(100 * client + place) for place in range(client % 4 + 1)] for client in range(32)]
    for images in asked[::3]:
        images.insert(len(images) // 2, JUNK)
    total = sum(map(len, asked))
    alone = [scorer(images, aspect="quality") for images in asked]
    with served(scorer, places=total) as server, ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda images: told(server.ask(*images)), asked))
        counted = server.client.get("/metrics").text
    for found, expected in zip(answers, alone, strict=True):
        assert [each["quality"]["status"] for each in found] == [score.status for score in expected]
        assert [each["quality"]["description"] for each in found] == [score.description for score in expected]
        for each, score in zip(found, expected, strict=True):
            assert each["quality"]["score"] == pytest.approx(score.score, abs=1e-4)
    bad = len(asked[::3])
    assert f'm3agiqa_scores_total{{aspect="quality",status="ok"}} {total - bad}.0' in counted
    assert f'm3agiqa_scores_total{{aspect="quality",status="failed"}} {bad}.0' in counted
    assert 'm3agiqa_requests_total{code="200"} 32.0' in counted
    assert f"m3agiqa_batch_images_sum {total - bad}.0" in counted
    assert "m3agiqa_images_under_way 0.0" in counted


def test_a_full_queue_is_said_at_once(held):
    with served(held, places=2, images=2) as server, ThreadPoolExecutor(1) as others:
        first = others.submit(server.ask, png(60), png(61))
        assert held.begun.wait(60)
        answer = server.ask(png(62))
        assert "too many images" in refused(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert server.client.get("/health").json() == {"status": "ready"}
        held.free.set()
        assert len(told(first.result())) == 2
        assert len(told(server.ask(png(62)))) == 1


def test_too_many_bytes_are_refused_as_they_come(scorer):
    form = {"images": ("a.png", b"x" * 5000)}
    kind = {"Content-Type": "multipart/form-data; boundary=b"}

    def endless():  # of no declared length
        yield b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield b"x" * 1000

    with served(scorer, request_bytes=4000) as server:
        assert "4,000 bytes" in refused(server.client.post("/v1/scores", files=form), 413)
        assert "4,000 bytes" in refused(server.client.post("/v1/scores", content=endless(), headers=kind), 413)
        assert len(told(server.ask(png(60, width=16, height=16)))) == 1
        assert 'm3agiqa_requests_total{code="413"} 2.0' in server.client.get("/metrics").text
    with served(scorer, all_bytes=4000) as server:
        for _ in range(2):  # what was held is given back
            answer = server.client.post("/v1/scores", content=endless(), headers=kind)
            assert "under way" in refused(answer, 503)
            assert answer.headers["Retry-After"] == "1"
        assert len(told(server.ask(png(60, width=16, height=16)))) == 1


def test_a_client_that_stops_in_the_middle_is_let_go(scorer):
    head = (
        b"POST /v1/scores HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: multipart/form-data; boundary=b"
    )
    with served(scorer, silence=0.05) as server, socket.create_connection(server.place, 60) as client:
        client.sendall(head + b"\r\n\r\n--b\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("images", "data", "code", "why"),
    [
        (3, {}, 413, "3 images, and 2 may come at once"),
        (2, {"prompts": ["a cat"]}, 422, "2 images and 1 prompts"),
        (1, {"prompts": ["x" * 11]}, 422, "prompt 0 has 11 characters"),
        (1, {"aspect": "beauty"}, 422, "'beauty' is not here, only quality, correspondence"),
        (0, {"prompts": ["a cat"]}, 422, "images: Field required"),
    ],
)
def test_what_is_not_as_asked_for_is_one_line(scorer, images, data, code, why):
    with served(scorer, images=2, prompt=10) as server:
        assert why in refused(server.ask(*[png(60)] * images, **data), code)


def test_nothing_that_a_client_writes_is_opened(server, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png(60))
    for named in (str(file), file.as_uri(), f"{server.url}/v1/judge"):
        refused(server.client.post("/v1/scores", data={"images": named}), 422)
        refused(server.client.post("/v1/scores", json={"images": [named]}), 422)
        for content in (b"", JUNK, named.encode()):
            (scores,) = told(server.client.post("/v1/scores", files={"images": (named, content)}))
            assert scores["quality"]["status"].startswith("failed: image: not an image")


def test_a_key_is_asked_for_everywhere_but_at_health(scorer, caplog):
    with served(scorer, KEY) as server:
        texts = []
        for given in (
            {},
            {"Authorization": KEY},
            {"Authorization": f"Bearer {KEY}x"},
            {"Authorization": b"Bearer \xff"},
        ):
            for path in ("/v1/judge", "/metrics", "/openapi.json", "/docs", "/elsewhere"):
                answer = server.client.get(path, headers=given)
                assert "Authorization: Bearer" in refused(answer, 401)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                texts.append(answer.text)
            refused(server.client.post("/v1/scores", files={"images": png(60)}, headers=given), 401)
            assert server.client.get("/health", headers=given).status_code == 200
        server.client.headers["Authorization"] = f"Bearer {KEY}"
        assert len(told(server.ask(png(60)))) == 1
        texts += [server.client.get(path).text for path in ("/v1/judge", "/metrics", "/openapi.json", "/docs")]
        assert not [text for text in (*texts, caplog.text) if KEY in text]


def test_the_end_answers_what_has_come(held):
    with served(held) as server, ThreadPoolExecutor(5) as clients:
        asked = [clients.submit(server.ask, png(seed), png(seed + 9)) for seed in range(5)]
        while "m3agiqa_images_under_way 10.0" not in server.client.get("/metrics").text:
            time.sleep(0.01)
        server.stop()
        held.free.set()
        assert [len(told(each.result())) for each in asked] == [2] * 5
        assert server.ended()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(server.url)


def test_the_judge_and_the_schema_say_what_there_is(server, scorer, parts):
    judge = server.client.get("/v1/judge").json()
    assert list(judge["aspects"]) == list(scorer.aspects)
    card = scorer.card("quality")
    about = judge["aspects"]["quality"]
    assert (about["scale"], about["head"], about["srcc"]) == (
        {"low": 0, "high": 5},
        card.head.sha256,
        card.figures["srcc"],
    )
    assert judge["limits"]["images"] == Limits().images
    assert str(parts["quality"].mllm.parent) not in json.dumps(judge)
    schema = server.client.get("/openapi.json").json()
    shapes = schema["components"]["schemas"]
    assert shapes["AspectScore"]["properties"].keys() == AspectScore.model_fields.keys()
    answers = schema["paths"]["/v1/scores"]["post"]["responses"]
    named = {code: answer["content"]["application/json"]["schema"]["$ref"] for code, answer in answers.items()}
    assert named.pop("200").endswith("/Answer")
    assert {name.rpartition("/")[2] for name in named.values()} == {"Refusal"}
    assert "image/png" in str(shapes) or "binary" in str(shapes) or "octet-stream" in str(shapes)
    assert server.client.get("/docs").status_code == 200
