"""Who scores in a Ray cluster, and that what goes wrong there is one line. No cluster is started for it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from m3agiqa.errors import InputError, WorkerError
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

pytest.importorskip("ray", reason="ray is in requirements-ray.txt")
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import ActorDiedError, RayTaskError

from m3agiqa import cluster

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture
def image(tmp_path):
    picture(1).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def told(scorer, image, code):
    """What a scorer of a cluster tells, and what comes of it where it was asked."""
    batch = cluster.Batch(0, Path.cwd(), [(image, "")], [["quality"]])
    row = cluster._Scoring(scorer, 1, code)(cluster.decoded(cluster.read({"item": batch})))
    there = SimpleNamespace(_scored=lambda *_: SimpleNamespace(iter_rows=lambda: iter([row])))
    return list(cluster._Cluster._told(there, scorer, [cluster.Asked([0], batch.images, batch.aspects)]))


def test_parts_that_do_not_belong_together(image, parts):
    mixed = {"quality": replace(parts["quality"], adapter=parts["correspondence"].adapter)}
    with pytest.raises(InputError, match=r"not the adapter or the MLLM .* \(on .+, in the Ray cluster\)$"):
        told(Scorer(mixed, device="cpu"), image, cluster.code())


def test_a_machine_with_other_code_scores_nothing(image, parts):
    message = r"^.+, a machine of the Ray cluster, has another m3agiqa, torch or other library$"
    with pytest.raises(InputError, match=message):
        told(Scorer(parts, device="cpu"), image, ("another",))


def test_memory_that_does_not_suffice(image, parts, monkeypatch):
    monkeypatch.setattr(cluster, "telling", lambda *_: bytearray(1 << 62))
    with pytest.raises(WorkerError, match=r"^on .+: out of memory; where memory is short"):
        told(Scorer(parts, device="cpu"), image, cluster.code())


def test_what_becomes_of_ray_and_that_an_error_of_ours_stays_one():
    for error in (ActorDiedError(), ExecutionTimeoutError("no progress.\nmore of it")):
        with pytest.raises(WorkerError, match=r"^Ray: .+[^.]; where memory is short, .+$"), cluster._told_in_one_line():
            raise error
    with pytest.raises(RayTaskError), cluster._told_in_one_line():
        raise RayTaskError("f", "a traceback", ValueError())


@pytest.fixture
def has(monkeypatch):
    """Say what the machines of a cluster have."""

    def say(*machines):
        total = {name: sum(machine.get(name, 0) for machine in machines) for name in ("CPU", "GPU")}
        nodes = [{"Alive": True, "Resources": machine} for machine in machines]
        monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: total)
        monkeypatch.setattr(cluster.ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {}}])

    monkeypatch.setattr(cluster.torch, "get_num_threads", lambda: 8)
    return say


@pytest.mark.parametrize(
    ("device", "scorers", "expected"),
    [
        ("auto", None, ("cuda", 6, 4)),
        ("cuda", 2, ("cuda", 2, 12)),
        ("cpu", None, ("cpu", 3, 8)),
        ("cpu", 5, ("cpu", 5, 4)),
        ("cpu", 100, ("cpu", 100, 1)),
    ],
)
def test_a_scorer_for_each_gpu_or_each_machine_that_works(has, device, scorers, expected):
    """The head of a cluster has often nothing to work with."""
    has({}, {"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 2}, {"CPU": 8})
    found = cluster._Cluster(device, scorers)
    assert (found.device, found._scorers, found._threads) == expected


@pytest.mark.parametrize(
    ("machine", "device", "scorers", "message"),
    [
        ({"CPU": 2, "GPU": 1}, "cuda", 2, "--processes is 2, and GPUs of the Ray cluster are 1; each needs one"),
        ({"CPU": 2}, "cuda", None, "--device is cuda, and the Ray cluster has no GPU"),
        ({"CPU": 2}, "cuda:0", 1, "--device is cuda:0, and --engine ray takes cpu or cuda; Ray says which GPU"),
        ({"GPU": 1}, "cuda", 1, "the Ray cluster has no CPU, and images must be decoded"),
    ],
)
def test_a_cluster_that_has_not_what_is_asked_for(has, machine, device, scorers, message):
    has(machine)
    with pytest.raises(InputError, match=f"^{message}$"):
        cluster._Cluster(device, scorers)


def test_no_scorer_is_none():
    with pytest.raises(InputError, match=r"^--processes is 0, expected 1 or more$"), cluster.joined("cpu", 0):
        pass


@pytest.mark.parametrize("address", ["ray://192.0.2.1:10001", "auto", "127.0.0.1:1", "127.0.0.1:100000"])
def test_an_address_where_no_cluster_is_is_one_line(address):
    with pytest.raises(InputError, match=f"^RAY_ADDRESS is {address}, expected HOST:PORT of a cluster that .+$"):
        cluster._join(address)
