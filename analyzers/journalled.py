"""A teacher that costs time or money, at work on the images of a data set, its answers kept in a journal.

The captions are built from there, so the same journal gives the same bytes, and nothing that it holds is asked again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from analyzers.captions import Captions
from analyzers.estimate import sampled_input
from analyzers.forecast import Rest, enough, forecast, told, told_beforehand
from analyzers.gemini.batch import GeminiBatch
from analyzers.gemini.teacher import Gemini
from analyzers.joining import NAME, copied, take_over
from analyzers.limits import Limits
from analyzers.openai.terms import terms as server_terms
from analyzers.teacher import Refused
from analyzers.terms import InRounds, Options, Service, Terms
from analyzers.work import Work, count, kept
from m3agiqa.errors import InputError
from m3agiqa.journal import Journal
from pipeline.profiles import GeminiTeacher, MLLMTeacher, OpenAITeacher
from pipeline.settings import Settings


@contextmanager
def journalled(settings: Settings, options: Options) -> Iterator[Captions]:
    """Ask what is not in the journal; the work is then read from there.

    Raises:
        DailyQuota, Unavailable, BudgetSpent, InputError: as analyzers.asking.Asker.settle.
    """
    with at_work(settings, options) as work:
        _ask(work, options)
        totals, terms = work.totals(), work.terms
        lost = totals.usd_lost_at_most(terms.service.most(totals.largest_input)) if terms.service else 0.0
        yield Captions(work.described(), totals, terms.prices, terms.saw_mos, lost)


def ask_shard(settings: Settings, options: Options) -> str:
    """Ask what is not in the journal about one shard of the images; how that went. Raises as `journalled`."""
    with at_work(settings, options) as work:
        _ask(work, options)
        images, failed = count(work.all()), work.failed()
    return (
        f"shard {options.shard} is done: {images - failed} of its {images} images are described, in "
        f"{kept(settings, NAME)}; where all shards are, python -m stages.caption --join PATH … takes the journals of "
        "the other machines over, and without --shard it then writes the captions"
    )


def estimate(settings: Settings, options: Options) -> str:
    """What `journalled` would take. To find out, nothing is paid but what `options.probe` asks for.

    Raises:
        DailyQuota, Unavailable, BudgetSpent, InputError: as analyzers.asking.Asker.settle.
    """
    with at_work(settings, options) as work:
        terms = work.terms
        if options.probe:
            _probe(work, options.probe)
        images, totals = count(work.all()), work.totals()
        failed = work.failed()
        work.forget(options)
        rest = Rest(images, failed, count(work.missing()), work.in_jobs())
        if terms.service is None or not rest.requests:
            return str(rest)
        if enough(totals, images):
            found = forecast(rest, totals, terms.service)
            work.forecasts(terms.service).keep(found)
            return told(rest, found, terms.service, terms.limits)
        try:
            count_tokens = terms.service.count_tokens
            sampled = count_tokens and sampled_input(work.missing(), rest.requests, count_tokens)
        except Refused as refused:
            raise InputError(f"{refused} ({refused.advice})") from None
    return told_beforehand(rest, sampled, terms.service, terms.limits)


@contextmanager
def answered(settings: Settings) -> Iterator[Captions]:
    """What is in the journal by now: nothing is asked, and another run that writes there is not waited for."""
    terms = _terms(settings)
    with copied(kept(settings, NAME)) as journal:
        yield Captions(Work(terms, settings, journal).described(), saw_mos=terms.saw_mos)


@contextmanager
def at_work(settings: Settings, options: Options) -> Iterator[Work]:
    """With all that is answered in its journal; other processes of the stage, if there are any, may go at the end."""
    terms = _terms(settings)
    place = kept(settings, NAME)
    with Journal(place) as journal:
        take_over(place.parent, journal, journal.append)
        yield Work(terms, settings, journal, options.shard)
        if isinstance(terms.teacher, InRounds):
            terms.teacher.end()


def _ask(work: Work, options: Options) -> None:
    work.note_lost()
    before = work.totals()
    work.forget(options)
    asked = count(work.missing())
    if asked or work.in_jobs():  # whose answers are paid for, whether anything else is missing or not
        work.ask(None, asked, before)
        work.reread()
        if service := work.terms.service:
            work.forecasts(service).compare(work.totals().usd(service.prices))
    elif options.refresh:
        work.reread()  # what is older than that counts all the same


def _probe(work: Work, images: int) -> None:
    """Have so many images answered with these settings, those that are so far included."""
    if at_the_service := work.in_jobs():
        raise InputError(f"{at_the_service} questions are at the service, in jobs: run it without --probe to take them")
    work.note_lost()
    before = work.totals()
    lacking = work.few(images - before.images) if images > before.images else []
    if lacking:
        work.ask(lacking, len(lacking), before)
        work.reread()


def _terms(settings: Settings) -> Terms:
    profile, runtime = settings.teachers[settings.teacher], settings.runtime
    if isinstance(profile, MLLMTeacher):
        from analyzers.rounds import rounds  # noqa: PLC0415 (torch takes seconds; the others need none)

        return Terms(rounds(settings), saw_mos=False)
    if isinstance(profile, OpenAITeacher):
        return server_terms(settings.teacher, profile, runtime.teacher)
    if not isinstance(profile, GeminiTeacher):
        raise TypeError(f"the answers of the teacher {settings.teacher} are not kept in a journal")
    teacher = Gemini(
        model=profile.model,
        temperature=profile.temperature,
        max_output_tokens=profile.max_output_tokens,
        show_mos=profile.show_mos,
        sdk=profile.sdk,
        timeout=runtime.teacher.timeout,
        thinking=profile.thinking,
        media_resolution=profile.media_resolution,
    )
    limits = Limits(
        runtime.teacher.requests_per_minute,
        runtime.teacher.input_tokens_per_minute,
        runtime.teacher.requests_per_day,
    )
    return Terms(
        teacher,
        saw_mos=profile.show_mos,
        service=Service(
            teacher,
            profile.prices,
            runtime.teacher.max_usd,
            count_tokens=teacher.count_tokens,
            batch=GeminiBatch(teacher),
            batched=profile.batch,
        ),
        concurrency=runtime.teacher.concurrency,
        limits=limits,
    )
