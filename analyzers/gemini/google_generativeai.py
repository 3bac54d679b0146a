"""Gemini through google-generativeai, the SDK that the project's owner chose, over REST.

Its support ended on 30 November 2025 and importing it warns of that, and of Pythons to come; this is the one place
that imports it and hears the warnings. Its own retry is switched off: it blocks for ten minutes, whatever the timeout.
"""

import re
import warnings
from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from analyzers.gemini.picture import Picture
from analyzers.gemini.teacher import ApiError, Lost, Reply

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import google.api_core.exceptions as api
    import google.generativeai as genai
    from google.auth.exceptions import TransportError
    from google.generativeai.client import get_default_generative_client
    from google.protobuf.json_format import ParseError

LOST = (requests.exceptions.RequestException, TransportError, api.RetryError, ParseError)
NOT_THE_API = (AttributeError, TypeError)  # what the SDK makes of an error whose body has another shape
# Enums by a metaclass that says nothing of its types.
_FINISH: Any = genai.protos.Candidate.FinishReason
_BLOCK: Any = genai.protos.GenerateContentResponse.PromptFeedback.BlockReason
FINISH_REASONS: dict[int, str] = {reason.value: reason.name for reason in _FINISH if reason}
BLOCK_REASONS: dict[int, str] = {reason.value: reason.name for reason in _BLOCK if reason}


class Connection:
    """One client of one model; its requests may run side by side."""

    def __init__(self, key: str, endpoint: str | None, model: str, settings: dict[str, Any], timeout: float) -> None:
        options = {"api_endpoint": endpoint} if endpoint else None
        genai.configure(api_key=key, transport="rest", client_options=options)
        # google-auth would send a request that is answered 401 twice more.
        transport: Any = get_default_generative_client().transport  # the one over REST has a session
        transport._session._refresh_status_codes = ()  # noqa: SLF001
        self._model = genai.GenerativeModel(model)
        self._settings = settings
        self._request_options = {"timeout": timeout, "retry": None}

    def generate(self, text: str, image: Picture, schema: dict[str, Any]) -> Reply:
        config = {**self._settings, "response_mime_type": "application/json", "response_schema": schema}
        response = self._call(self._model.generate_content, text, image, generation_config=config)
        found = response.to_dict()  # enums as numbers: a reason younger than the SDK is only that
        candidate = found["candidates"][0] if found.get("candidates") else {}
        finish = candidate.get("finish_reason", 0)
        block = found.get("prompt_feedback", {}).get("block_reason", 0)
        usage = found.get("usage_metadata", {})
        return Reply(
            text="".join(part.get("text", "") for part in candidate.get("content", {}).get("parts", ())),
            finish_reason=FINISH_REASONS.get(finish, str(finish or "")),
            block_reason=BLOCK_REASONS.get(block, str(block or "")),
            model_version=found.get("model_version", ""),
            prompt_tokens=usage.get("prompt_token_count", 0),
            candidate_tokens=usage.get("candidates_token_count", 0),
            total_tokens=usage.get("total_token_count", 0),
        )

    def count_tokens(self, text: str, image: Picture) -> int:
        tokens: int = self._call(self._model.count_tokens, text, image).total_tokens
        if not tokens:
            raise Lost("no number of tokens")
        return tokens

    def _call(self, method: Callable[..., Any], text: str, image: Picture, **options: Any) -> Any:
        # Bare parts would do as well, but the SDK writes them out as text, the picture too, before it takes them.
        contents = [{"role": "user", "parts": [{"mime_type": image.mime, "data": image.data}, text]}]
        try:
            return method(contents, request_options=self._request_options, **options)
        except api.GoogleAPICallError as error:
            message = re.sub(r"^POST \S+: ", "", error.message)
            raise ApiError(error.code or 500, _name(error), message, error.details) from None
        except (*LOST, *NOT_THE_API) as error:
            raise Lost(type(error).__name__, sent=not _unconnected(error)) from None


def _name(error: api.GoogleAPICallError) -> str:
    """Such as INVALID_ARGUMENT. The SDK's own class for a 400 has one name for several."""
    try:
        return str(error.response.json()["error"]["status"])
    except (LookupError, TypeError, ValueError):  # an error of something between the service and us
        return ""


def _unconnected(error: BaseException | None) -> bool:
    """Whether there was no connection over which anything could be sent."""
    while error is not None and not isinstance(error, ConnectTimeoutError | NewConnectionError):
        error = error.__cause__ or error.__context__
    return error is not None
