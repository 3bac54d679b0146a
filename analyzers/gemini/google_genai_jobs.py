"""Gemini's Batch API through google-genai: files of requests, jobs that answer them, files of answers.

It only sends and receives: what is sent when, and what comes of it, is analyzers/batching.py's business.
"""

from pathlib import Path
from typing import NamedTuple

from google.genai import types

from analyzers.gemini.google_genai import client, translated
from analyzers.gemini.teacher import ApiError, Lost

PAGE = 100  # jobs that are listed at once
GONE = 404


class State(NamedTuple):
    """How a job stands, in the service's word, and the file of its answers, if there is one."""

    name: str
    answers: str | None


class Connection:
    """One client of one model's jobs. Every method raises ApiError or Lost."""

    def __init__(self, key: str, endpoint: str | None, model: str, timeout: float) -> None:
        self._client, self._model = client(key, endpoint, timeout), model

    def upload(self, requests: Path, name: str) -> str:
        """What the service calls the file from now on, for two days."""
        config = types.UploadFileConfig(display_name=name, mime_type="application/jsonl")
        try:
            with translated():
                return str(self._client.files.upload(file=str(requests), config=config).name)
        except KeyError as error:  # the SDK's own for an answer without an address to send it to
            raise Lost(type(error).__name__) from None

    def create(self, file: str, name: str) -> str:
        """What the service calls the job; to send it twice makes two jobs, both of which are paid."""
        with translated():
            config = types.CreateBatchJobConfig(display_name=name)
            job: str | None = self._client.batches.create(model=self._model, src=file, config=config).name
        if not job:
            raise Lost("a job without a name")
        return job

    def find(self, name: str) -> str | None:
        """The job that was sent with this name."""
        with translated():
            jobs = self._client.batches.list(config=types.ListBatchJobsConfig(page_size=PAGE))
            return next((job.name for job in jobs if job.display_name == name), None)

    def look(self, job: str) -> State:
        try:
            with translated():
                found = self._client.batches.get(name=job)
        except ApiError as error:
            if error.status != GONE:
                raise
            return State("GONE", None)
        name = found.state.name.removeprefix("JOB_STATE_") if found.state else ""
        return State(name, found.dest.file_name if found.dest else None)

    def fetch(self, file: str, to: Path) -> None:
        with translated():
            self._client.files.download(file=file, destination=to)

    def discard(self, file: str) -> None:
        """Make room for others; a file that is gone already is well gone."""
        try:
            with translated():
                self._client.files.delete(name=file)
        except ApiError as error:
            if error.status not in (403, GONE):  # the API answers 403 for what does not exist
                raise
