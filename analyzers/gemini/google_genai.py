"""Gemini through google-genai, the successor of google-generativeai: an optional extra (requirements-genai.txt).

Responses are read as the API sent them, because the SDK's own types warn of every reason that is younger than they
are. Its own retry is switched off.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from analyzers.gemini.picture import Picture
from analyzers.gemini.teacher import ApiError, Lost, Reply
from m3agiqa.json_text import parse_json

NOT_THE_API = (AttributeError, TypeError, ValueError)  # what a body of another shape ends in


class Connection:
    """One client of one model; its requests may run side by side."""

    def __init__(self, key: str, endpoint: str | None, model: str, settings: dict[str, Any], timeout: float) -> None:
        self._client = client(key, endpoint, timeout)
        self._model, self._settings = model, settings

    def generate(self, text: str, image: Picture, schema: dict[str, Any]) -> Reply:
        config = types.GenerateContentConfig(
            **self._settings,
            response_mime_type="application/json",
            response_schema=schema,
            should_return_http_response=True,
        )
        response = self._call(self._client.models.generate_content, text, image, config=config)
        try:
            return reply(parse_json(response.sdk_http_response.body))
        except NOT_THE_API as error:
            raise Lost(type(error).__name__) from None

    def count_tokens(self, text: str, image: Picture) -> int:
        tokens: int | None = self._call(self._client.models.count_tokens, text, image).total_tokens
        if not tokens:
            raise Lost("no number of tokens")
        return tokens

    def _call(self, method: Callable[..., Any], text: str, image: Picture, **options: Any) -> Any:
        contents = [types.Part.from_bytes(data=image.data, mime_type=image.mime), types.Part.from_text(text=text)]
        with translated():
            return method(model=self._model, contents=contents, **options)


def client(key: str, endpoint: str | None, timeout: float) -> genai.Client:
    """`timeout` is in seconds."""
    once = types.HttpRetryOptions(attempts=1)
    unlimited = {"limits": httpx2.Limits()}  # else a hundred connections, and the others wait for one in vain
    options = types.HttpOptions(
        base_url=endpoint, timeout=int(timeout * 1000), retry_options=once, client_args=unlimited
    )
    return genai.Client(api_key=key, vertexai=False, http_options=options)


@contextmanager
def translated() -> Iterator[None]:
    """Have the SDK's errors raised as ApiError and Lost."""
    try:
        yield
    except errors.APIError as error:
        body = error.details.get("error") if isinstance(error.details, dict) else None
        details = body.get("details") if isinstance(body, dict) else None
        raise ApiError(error.code or 500, error.status or "", error.message or "", details) from None
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise Lost(type(error).__name__, sent=False) from None
    except (httpx2.HTTPError, *NOT_THE_API) as error:
        raise Lost(type(error).__name__) from None


def reply(found: dict[str, Any]) -> Reply:
    """A response as the API sends it. Raises one of NOT_THE_API where it has another shape."""
    candidate = found["candidates"][0] if found.get("candidates") else {}
    content, usage = candidate.get("content") or {}, found.get("usageMetadata") or {}
    return Reply(
        text="".join(part.get("text", "") for part in content.get("parts") or ()),
        finish_reason=candidate.get("finishReason", ""),
        block_reason=(found.get("promptFeedback") or {}).get("blockReason", ""),
        model_version=found.get("modelVersion", ""),
        prompt_tokens=usage.get("promptTokenCount", 0),
        candidate_tokens=usage.get("candidatesTokenCount", 0),
        total_tokens=usage.get("totalTokenCount", 0),
    )
