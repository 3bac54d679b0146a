"""How a server wants to be asked, where servers differ; found out by asking, and by what they refuse.

Most take a JSON schema for the answer, and hold the model to it. One that does not is asked in words alone, as the
schema's are in the words too, and what it answers is checked in the same way. `max_tokens` is the name that every
server knows but OpenAI's newer models.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from analyzers.openai.failures import MOST_SAID, ServerError

ABOUT_SCHEMAS = re.compile(
    r"response_format|json.?schema|structured.?output|guided|grammar|requested parameters", re.IGNORECASE
)
NEVER_ABOUT_WORDS = {401, 402, 403, 429}  # statuses: who asks, and how much


@dataclass(frozen=True)
class Dialect:
    """What the server takes, as far as is known."""

    schema: bool
    limit: str = "max_tokens"

    def after(self, error: ServerError) -> Self | None:
        """How to ask after a refusal; None where it is not about how it was asked."""
        if error.status in NEVER_ABOUT_WORDS:
            return None
        said = str(error)[:MOST_SAID]  # what comes later may be the request, which names all these things
        if "max_completion_tokens" in said and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        return replace(self, schema=False) if self.schema and ABOUT_SCHEMAS.search(said) else None

    def settings(self, aspects: Sequence[str], max_output_tokens: int) -> dict[str, Any]:
        """The parts of a request that are said in it."""
        limit = {self.limit: max_output_tokens}
        return limit | {"response_format": _format(aspects)} if self.schema else limit


def _format(aspects: Sequence[str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {aspect: {"type": "string"} for aspect in aspects},
        "required": list(aspects),
        "additionalProperties": False,  # OpenAI's strict mode wants it said
    }
    return {"type": "json_schema", "json_schema": {"name": "explanations", "strict": True, "schema": schema}}
