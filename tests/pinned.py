"""Two files that the dataset server offers, a source that names one by its hash, and what was asked of it."""

import hashlib
import random

LARGE = random.Random(0).randbytes(300_000)
SMALL = b"name,prompt\na.png,a cat\n"


def pinned(server, path="/set.bin", content=LARGE):
    return f"{server.url}{path}#sha256={hashlib.sha256(content).hexdigest()}"


def starts(requests):
    return [request.start for request in requests]
