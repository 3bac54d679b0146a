"""A server that speaks OpenAI's API, through the package `openai`, an optional extra (requirements-openai.txt).

It sends and receives, and knows nothing of what comes back: bodies are read as the server sent them, because servers
put more and other things into them than the package has types for. The package's own retry is switched off.
"""

from typing import Any

import httpx2
import openai

from analyzers.openai.failures import Lost, Nobody, ServerError
from m3agiqa.json_text import parse_json

BEFORE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)  # of what there is before a request is sent


class Server:
    """One client of one server; its requests may run side by side."""

    def __init__(self, base_url: str, key: str | None, timeout: float) -> None:
        """`key` None sends none; `timeout` is in seconds."""
        self._client = openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=timeout, max_retries=0)
        # Taken from the environment by the package; they are OpenAI's, and this may be anybody's server.
        self._client.organization = self._client.project = None
        self._client._custom_headers = {}  # noqa: SLF001 (it offers no other way)
        self._headers = {} if key else {"Authorization": openai.Omit()}

    def chat(self, body: dict[str, Any]) -> Any:
        """What the server answers to a request for a chat's next message, as JSON tells it.

        Raises:
            ServerError: an error status.
            Lost: no whole answer; Nobody, where nothing listens.
        """
        options: Any = {"headers": self._headers}
        try:
            response = self._client.post("/chat/completions", cast_to=httpx2.Response, body=body, options=options)
            return parse_json(response.content)
        except openai.APIStatusError as error:
            raise ServerError(error.status_code, _json(error.response), dict(error.response.headers)) from None
        except openai.APIError as error:
            below = error.__cause__ or error
            kind = Nobody if isinstance(below, httpx2.ConnectError) else Lost
            raise kind(f"{type(below).__name__} {below}".strip(), sent=not isinstance(below, BEFORE)) from None
        except ValueError:
            raise Lost("an answer that is no JSON") from None


def _json(response: httpx2.Response) -> Any:
    """The body, or its text where it is no JSON."""
    try:
        return parse_json(response.content)
    except ValueError:
        return response.text
