"""serve: trained aspects as an HTTP service. It needs the extra `serve`; `make serve` installs it."""

import argparse
import ipaddress
import os
import socket
import sys

from transformers import logging

from m3agiqa.commands.options import add_batch, add_source, add_where, how, parts_of
from m3agiqa.errors import InputError
from m3agiqa.scorer import Scorer

KEY = "M3AGIQA_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_where(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help=f"default: 127.0.0.1, this machine; any other wants a key in {KEY}"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: one that is free")
    add_batch(parser)


def run(arguments: argparse.Namespace) -> None:
    try:
        from m3agiqa import server  # noqa: PLC0415 (an optional extra)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed here: make serve, or pip install 'm3agiqa[serve]'") from None
    logging.disable_progress_bar()  # of loading the models
    settings = how(arguments)
    key = _key(arguments.host)
    with _bound(arguments.host, arguments.port) as bound:
        scorer = Scorer(parts_of(arguments), **settings)
        for aspect in scorer.aspects:
            scorer.score_batch([], [], aspect=aspect)  # loads it: a part that does not fit is said before anyone asks
        app = server.create_app(scorer, key=key)
        host, port = bound.getsockname()[:2]
        place = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"serve: scores {', '.join(scorer.aspects)} at {place}", file=sys.stderr, flush=True)
        try:
            server.serve(app, bound)
        except KeyboardInterrupt:
            print("serve: stopped; what had come is answered", file=sys.stderr)


def _key(host: str) -> str | None:
    """The key that clients must have, from the environment; None where only this machine can ask.

    Raises:
        InputError: there must be one, or it cannot be sent in a header. It is not in the message.
    """
    key = os.environ.get(KEY, "")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise InputError(f"{KEY} has characters that no header can have: expected printable ASCII without spaces")
    if not key and not _is_this_machine(host):
        raise InputError(f"--host {host} lets other machines ask: set {KEY} to a key that they must have")
    return key or None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the address and does not listen yet: who asks while the judge is loaded is not left waiting."""
    if not 0 <= port < 2**16:  # getaddrinfo takes it, less what is above
        raise InputError(f"--port is {port}, expected 0 to 65535")
    bound = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:  # no such host; taken; not allowed
        if bound:
            bound.close()
        raise InputError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None
    return bound
