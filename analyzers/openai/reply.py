"""What a server's answer says: the text, why it ends, who wrote it and how many tokens that took."""

from collections.abc import Mapping
from typing import Any

from analyzers.explanations import parse, without_thoughts
from analyzers.openai.failures import Lost, ServerError
from analyzers.teacher import CUT, Answer, Usage

FINISH = {"length": CUT}  # our name for it; any other reason is the server's word, in capitals
FINAL = {"CONTENT_FILTER", CUT}  # the model gave no whole description; any other end without text may be an accident


def answer(body: Any) -> Answer:
    """The answer in a body with status 200.

    Raises:
        ServerError: the server answered before it knew that it would fail, as OpenRouter may.
        Lost: the body is of another shape.
    """
    try:
        choice = _choice(body)
        message = choice["message"]
        finish = str(choice.get("finish_reason") or "")
        finish = FINISH.get(finish, finish.upper())
        why = finish if finish in FINAL else "REFUSAL" if message.get("refusal") else None
        return Answer(
            said=parse(without_thoughts(_text(message.get("content")))),
            finish_reason=finish,
            model_version=str(body.get("model") or ""),
            usage=_usage(body.get("usage") or {}),
            blocked=f"answer: {why}" if why else None,
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Lost(f"an answer of another shape ({type(error).__name__})") from None


def _choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice. Raises ServerError where an error stands in its place."""
    choices = body.get("choices") or [{}]
    choice: Mapping[str, Any] = choices[0]
    if error := body.get("error") or choice.get("error"):
        code = error.get("code") if isinstance(error, Mapping) else None
        raise ServerError(code if isinstance(code, int) and code >= 400 else 500, {"error": error}, {})
    return choice


def _text(content: Any) -> str:
    """A text, or the texts among parts of several kinds."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Tokens. Thinking is a part of the completion with most servers and stands beside it with others: totals tell."""
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    details = usage.get("completion_tokens_details") or {}
    thinking = details.get("reasoning_tokens") or usage.get("reasoning_tokens") or 0
    total = usage.get("total_tokens") or prompt + completion
    return Usage(prompt, max(0, total - prompt - thinking), thinking)
