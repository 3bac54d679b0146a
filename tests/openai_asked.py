"""The teacher `openai`, set up to ask a server of the tests."""

from typing import Any

from analyzers.openai.teacher import OpenAI
from analyzers.teacher import Answer, Question
from tests.openai_server import MODEL, OpenAIServer

KEY_VARIABLE = "A_KEY"
MOS = {"quality": 3.42, "correspondence": 1.5}


def teacher(server: OpenAIServer, **changes: Any) -> OpenAI:
    settings = {"model": MODEL, "temperature": 0.7, "max_output_tokens": 900, "show_mos": True, "json_schema": True}
    settings |= {"base_url": server.base_url, "extra": {}, "key_variable": KEY_VARIABLE, "timeout": 5}
    return OpenAI(**settings | changes)


def ask(teacher: OpenAI, question: Question) -> Answer:
    return teacher.ask(teacher.prepare(question))
