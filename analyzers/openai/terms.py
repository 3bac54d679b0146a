"""On what terms a server works: one without prices costs nothing, and none counts a question's tokens beforehand."""

from analyzers.limits import Limits
from analyzers.openai.teacher import OpenAI
from analyzers.terms import Service, Terms
from pipeline.profiles import OpenAITeacher, TeacherLimits


def terms(name: str, profile: OpenAITeacher, allowed: TeacherLimits) -> Terms:
    """Those of the teacher `name` of params.yaml."""
    settings = profile.model_dump(exclude={"kind", "prices"})
    teacher = OpenAI(**settings, timeout=allowed.timeout, name=name)
    return Terms(
        teacher,
        saw_mos=profile.show_mos,
        service=Service(teacher, profile.prices, allowed.max_usd) if profile.prices else None,
        concurrency=allowed.concurrency,
        limits=Limits(allowed.requests_per_minute, allowed.input_tokens_per_minute, allowed.requests_per_day),
    )
