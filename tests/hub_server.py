"""A local hub that takes models: tokens, repositories with commits that are whole or not there, and large files.

It answers what huggingface_hub asks the Hugging Face hub for a push and a download. Every request is remembered; a
`script` is a function of a request that gives a Fault, or None for a sound answer.
"""

import base64
import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as hub
import pytest
from ruamel.yaml import YAML

from tests.dataset_server import LARGE, entry
from tests.local_http import LocalServer

MINE = "hf_mine"
OWNERS = {MINE: {"me"}}  # whom a token may write for
NAMED = re.compile(r"/(?:api/models/)?([^/]+/[^/.]+)")
START = {".gitattributes": b"*.safetensors filter=lfs\n"}


class Fault(NamedTuple):
    """What is wrong with an answer."""

    status: int | None = None  # instead of what was asked for
    says: str = ""
    lost: bool = False  # it is done, and the connection cut before it says so


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


UNKNOWN = Answer(401, b"{}", (("X-Error-Message", "Invalid credentials in Authorization header"),))
FORBIDDEN = Answer(403, b'{"error": "You have no rights here"}', (("X-Error-Message", "You have no rights here"),))


@dataclass
class Repository:
    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        said = json.dumps([len(self.commits), {name: hashlib.sha256(files[name]).hexdigest() for name in files}])
        name = hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()
        self.commits.append((name, files))
        return name

    @property
    def head(self) -> tuple[str, dict[str, bytes]]:
        return self.commits[-1]

    def at(self, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        if revision in {None, "main"}:
            return self.head
        return next((commit for commit in self.commits if commit[0] == revision), None)


@dataclass
class HubServer(LocalServer):
    """Use it as a context."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # what has come, by SHA-256, named by a commit or not
    script: Callable[[str], Fault | None] = lambda _: None  # of method and path
    requests: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)

    def make(self, name: str, files: dict[str, bytes] | None = None, *, private: bool = False) -> Repository:
        repository = self.repositories[name] = Repository(private)
        repository.commit(START | (files or {}))
        return repository

    def count(self, start: str) -> int:
        return sum(request.startswith(start) for request in self.requests)

    def answer(self, method: str, path: str, body: bytes, token: str) -> Answer:
        if path == "/api/validate-yaml":
            return _validated(json.loads(body)["content"])
        if match := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            self.large[match[1]] = body
            return Answer() if hashlib.sha256(body).hexdigest() == match[1] else Answer(400)
        if method == "POST":
            return self._write(path, body, token)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            return self._about(match[1], token, match[2], match[3])
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(match[1], token, match[2], match[3])
        return Answer(404)

    def _seen(self, name: str, token: str) -> Repository | None:
        found = self.repositories.get(name)
        return found if found and (not found.private or _owner(name) in OWNERS.get(token, ())) else None

    def _about(self, name: str, token: str, what: str | None, revision: str | None) -> Answer:
        if token and token not in OWNERS:
            return UNKNOWN
        repository = self._seen(name, token)
        if repository is None or (found := repository.at(revision)) is None:
            return Answer(404, b"{}", (("X-Error-Code", "RevisionNotFound" if repository else "RepoNotFound"),))
        commit, files = found
        if what == "tree":
            return _json([entry(file, content) for file, content in files.items()])
        siblings = [{"rfilename": file} for file in files]
        return _json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings})

    def _file(self, name: str, token: str, revision: str, file: str) -> Answer:
        repository = self._seen(name, token)
        commit, files = (repository and repository.at(revision)) or ("", {})
        if file not in files:
            return Answer(404, b"", (("X-Error-Code", "EntryNotFound"),))
        tag = entry(file, files[file])
        digest = tag.get("lfs", tag)["oid"]
        return Answer(200, files[file], (("ETag", f'"{digest}"'), ("X-Repo-Commit", commit)))

    def _write(self, path: str, body: bytes, token: str) -> Answer:
        if token not in OWNERS:
            return UNKNOWN
        create = path == "/api/repos/create"
        name = "{organization}/{name}".format_map(json.loads(body)) if create else NAMED.match(path)[1]
        if _owner(name) not in OWNERS[token]:
            return FORBIDDEN
        if create:
            return self._create(name, private=json.loads(body).get("visibility") == "private")
        if path.endswith("/info/lfs/objects/batch"):
            return _json({"transfer": "basic", "objects": [self._wanted(each) for each in json.loads(body)["objects"]]})
        if path.endswith("/preupload/main"):
            return _json({"files": [_mode(file) for file in json.loads(body)["files"]]})
        return self._commit(name, [json.loads(line) for line in body.splitlines()])

    def _create(self, name: str, *, private: bool) -> Answer:
        there = name in self.repositories
        if not there:
            self.make(name, private=private)
        return Answer(409 if there else 200, json.dumps({"url": f"{self.url}/{name}"}).encode())

    def _wanted(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid = asked["oid"]
        actions = {"actions": {"upload": {"href": f"{self.url}/large/{oid}"}}}
        return {"oid": oid, "size": asked["size"], **({} if oid in self.large else actions)}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> Answer:
        parent, files = self.repositories[name].head
        if lines[0]["value"].get("parentCommit") not in {None, parent}:
            return Answer(412, b'{"error": "A commit has happened since"}')
        files = dict(files)
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        commit = self.repositories[name].commit(files)
        return _json({"commitUrl": f"{self.url}/{name}/commit/{commit}", "commitOid": commit, "success": True})


@contextmanager
def at(server: HubServer, cache: str, token: str | None = MINE) -> Iterator[None]:
    """huggingface_hub asks this hub, as someone; what HF_ENDPOINT and others set before a process begins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "ENDPOINT", server.url)
        patch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(hub, "HF_HUB_CACHE", cache)
        patch.setattr(hub, "HF_TOKEN_PATH", f"{cache}/token")
        patch.setattr(hub, "HF_HUB_DISABLE_XET", True)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        if token:
            patch.setenv("HF_TOKEN", token)
        yield


def _owner(name: str) -> str:
    return name.partition("/")[0]


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    return {"path": file["path"], "uploadMode": "lfs" if file["size"] >= LARGE else "regular", "shouldIgnore": False}


def _validated(readme: str) -> Answer:
    """A card's head is YAML, and its licence one that there is."""
    head = YAML(typ="safe").load(readme.split("---\n")[1])
    if head.get("license", "mit") not in {"mit", "cc-by-nc-4.0"}:
        return Answer(400, b'{"errors": [{"message": "license must be one of those"}]}')
    return _json({"errors": [], "warnings": []})


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {path}"
            server.requests.append(request)
            fault = server.script(request) or Fault()
            if fault.status:
                self._send(Answer(fault.status, json.dumps({"error": fault.says}).encode()))
                return
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = server.answer(self.command, path, body, token)
            if fault.lost:
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(answer)

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 (http.server's names)

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("Content-Length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
