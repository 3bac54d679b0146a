"""What of a request costs more or less: it is sent as the API has it, and another answer is another key."""

import re

import pytest

from analyzers.gemini.teacher import Gemini

pytest.importorskip("google.genai")


def teacher(**levers):
    return Gemini("gemini-3.8-flash", 1.0, 900, show_mos=True, sdk="google-genai", timeout=5, **levers)


def camel_case(config):
    """The API takes names in either way, and the SDK sends some in each."""
    if not isinstance(config, dict):
        return config
    return {re.sub(r"_(.)", lambda found: found[1].upper(), name): camel_case(config[name]) for name in config}


@pytest.mark.parametrize(
    ("lever", "said"),
    [
        ({"thinking": "minimal"}, {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}),
        ({"thinking": 0}, {"thinkingConfig": {"thinkingBudget": 0}}),
        ({"thinking": 512}, {"thinkingConfig": {"thinkingBudget": 512}}),
        ({"media_resolution": "low"}, {"mediaResolution": "MEDIA_RESOLUTION_LOW"}),
    ],
)
def test_a_lever_is_in_the_request_and_in_the_key(server, question, lever, said):
    plain = teacher()
    pulled = teacher(**lever)
    assert pulled.key(question) not in {plain.key(question), teacher(thinking=1).key(question)}
    assert teacher(thinking=None, media_resolution=None).key(question) == plain.key(question)
    plain.ask(plain.prepare(question))
    pulled.ask(pulled.prepare(question))
    without, with_lever = (request.body["generationConfig"] for request in server.requests)
    assert camel_case(with_lever) == camel_case(without) | said
