"""What runs on a GPU alone is measured there (benchmarks/full_size); what it computes is tested here.

Compiling is tried with dynamo and autograd's tracing as on a GPU, and without the kernels that inductor would write.
"""

import time
from functools import partial, partialmethod

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import CompileConfig
from transformers.generation.utils import DeferredStopCheck
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from m3agiqa.ahead import ahead
from m3agiqa.mllm import adapters, gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5 import modeling
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import picture, texts_of

ASK = [conversation("quality", prompt) for prompt in ("a red cube", "", "two blue balls left of a cone")]
WHOLE = [conversation("quality", prompt, "Sharp.") for prompt in ("a red cube", "", "two blue balls")]
IMAGES = [picture(1), picture(2, 40, 24), picture(3, 64, 64)]

# torch.compile imports what uses torch.jit, and looks whether tensors have gradients.
compiles = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:The .grad attribute:UserWarning")


@pytest.fixture(params=[tiny_minicpm.minicpm, tiny_mllm.minicpm_v_4_6, tiny_mllm.qwen3_vl])
def mllm(request, tmp_path):
    folder = request.param(tmp_path / "model")
    return tiny_mllm.load(folder)


@pytest.fixture
def minicpm(tmp_path):
    return tiny_mllm.load(tiny_minicpm.minicpm(tmp_path / "model"))


@pytest.fixture
def traced(monkeypatch):
    """What compiles does without kernels; how often, and what would not compile, is counted from zero."""
    torch._dynamo.reset()
    counters.clear()
    gpu._compiled.cache_clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield counters
    gpu._compiled.cache_clear()
    torch._dynamo.reset()


@pytest.mark.parametrize("tokens", [1, 5])
def test_grouped_attention_is_attention(tokens):
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 8, tokens, 16), *torch.randn(2, 2, 2, 11, 16)
    seen = torch.rand(2, 1, tokens, 11) < 0.7
    seen[..., 0] = True
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 4, True
    for mask in (seen, None):
        for scaling in (None, 0.3):
            ours, _ = gpu.grouped_attention(module, query, key, value, mask, scaling=scaling)
            theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=scaling)
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_what_the_graph_computes_is_described_without_it(mllm):
    """Static cache and grouped attention; transformers compiles the step on a GPU only."""
    plain = texts_of(mllm, IMAGES, ASK, 12)
    mllm.graph = gpu.StepGraph(mllm.model)
    assert texts_of(mllm, IMAGES, ASK, 12) == plain
    assert texts_of(mllm, IMAGES[:1], ASK[:1], 12) == plain[:1]
    assert mllm.model._previous_max_cache_length % gpu.CACHE_STRIDE == 0


def test_the_graphs_attention_reads_the_same(mllm, monkeypatch):
    """And writes out no mask for the views of different size, which would take longer than looking at them."""
    plain = mllm.read(IMAGES, WHOLE)
    mllm.graph = gpu.StepGraph(mllm.model)
    monkeypatch.setattr(modeling, "create_bidirectional_mask", lambda *_, **__: pytest.fail("(S, 1, L, L)"))
    for before, after in zip(plain, mllm.read(IMAGES, WHOLE), strict=True):
        assert torch.equal(before.states, after.states)


def test_the_host_waits_for_no_gpu_to_know_whether_to_stop():
    def late(check, kind, **how):
        return check.is_supported(torch.device(kind), cache=None, cache_is_returned=False, **how)

    assert late(gpu.LateStop, "cuda", is_assistant=False)
    assert late(gpu.LateStop, "mps", is_assistant=False)
    assert not late(gpu.LateStop, "cpu", is_assistant=False)
    assert not late(gpu.LateStop, "cuda", is_assistant=True)
    assert not late(DeferredStopCheck, "cuda", is_assistant=False)  # transformers itself is as it came


def test_only_a_model_with_a_graph_stops_late(mllm, monkeypatch):
    asked = []
    monkeypatch.setattr(gpu.LateStop, "is_supported", staticmethod(lambda device, *_, **__: asked.append(device)))
    plain = texts_of(mllm, IMAGES[:1], ASK[:1], 4)
    assert not asked
    mllm.graph = gpu.StepGraph(mllm.model)
    assert texts_of(mllm, IMAGES[:1], ASK[:1], 4) == plain
    assert asked == [torch.device("cpu")]


def test_the_graph_is_the_models_below_an_adapter(mllm, tmp_path, monkeypatch):
    """The adapter's wrapper has no loop of its own to generate by."""
    mllm.add_lora(tiny_mllm.lora(), seed=0)
    adapters.save(mllm.model, tmp_path / "adapter")
    monkeypatch.setattr(gpu, "worth_it", lambda _: True)
    adapted = tiny_mllm.load(tmp_path / "model", adapter=tmp_path / "adapter")
    assert texts_of(adapted, IMAGES[:1], ASK[:1], 4) == texts_of(mllm, IMAGES[:1], ASK[:1], 4)
    assert adapted.graph is not None


def test_another_transformers_stops_as_it_does_by_itself(minicpm, monkeypatch):
    monkeypatch.setattr(gpu.transformers, "__version__", "5.24.0")
    graph = gpu.StepGraph(minicpm.model)
    assert graph.options(4, 128) == {"max_cache_len": 128, "disable_compile": False}


def test_one_size_of_batch_is_compiled_for(mllm):
    graph = gpu.StepGraph(mllm.model)
    sizes = [(4, 128, 128, False), (3, 129, 256, True), (4, 1, 128, False)]
    for rows, tokens, length, as_it_comes in sizes:
        options = graph.options(rows, tokens)
        assert (options["max_cache_len"], options["disable_compile"]) == (length, as_it_comes)


@compiles
def test_compiled_blocks_read_the_same(minicpm, traced):
    plain = minicpm.read(IMAGES, WHOLE)
    gpu.compile_blocks(minicpm.model)
    for before, after in zip(plain, minicpm.read(IMAGES, WHOLE), strict=True):
        torch.testing.assert_close(after.states, before.states, atol=1e-5, rtol=1e-5)
    assert traced["stats"]["unique_graphs"] == 2  # one for the blocks of each kind: vision's and Llama's
    assert not traced["graph_break"]


@compiles
def test_uneven_batches_and_gradients_do_not_use_up_what_torch_compiles(minicpm, traced, monkeypatch):
    """Two kinds of blocks, sequences of many lengths, with a mask or none, learned from, with a frozen input, read."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="eager"))
    learner = minicpm.add_lora(tiny_minicpm.LORA.model_copy(update={"modules_to_save": []}), seed=0)
    gpu.compile_blocks(learner.get_base_model())
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for some in (slice(0, 3), slice(2, 3)):
            (inputs,) = minicpm.inputs(IMAGES[some], WHOLE[some])
            learner.train()(**inputs.tensors, labels=inputs.tensors["input_ids"], use_cache=False).loss.backward()
            minicpm.read(IMAGES[some], WHOLE[some])
    assert 8 < traced["stats"]["unique_graphs"] <= gpu.VARIANTS


@compiles
def test_no_number_of_views_is_compiled_for(tmp_path, traced, monkeypatch):
    """Where a vision tower attends to one at a time, in a loop that grows with what it is given. Nor any length."""
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="eager"))
    mllm = tiny_mllm.load(tiny_mllm.qwen3_vl(tmp_path / "model"), max_length=500)
    batches = []
    for number, words in enumerate((1, 20, 40, 60), start=2):
        whole = conversation("quality", "a red cube", "Sharp. " * words)
        batches.append(([picture(row, 32, 24 + 8 * number) for row in range(number)], [whole] * number))
    plain = [mllm.read(*batch) for batch in batches]
    gpu.compile_blocks(mllm.model)
    counts = []
    for batch, expected in zip(batches, plain, strict=True):
        for before, after in zip(expected, mllm.read(*batch), strict=True):
            torch.testing.assert_close(after.states, before.states, atol=1e-5, rtol=1e-5)
        counts.append(traced["stats"]["unique_graphs"])
    assert len({len(reading.states) // 64 for (reading, *_) in plain}) > 2
    assert counts[0] > 0
    assert counts[1:] == counts[1:2] * 3


@compiles
@pytest.mark.parametrize(("model", "worth"), [(tiny_mllm.minicpm_v_4_6, False), (tiny_mllm.qwen3_vl, True)])
def test_blocks_with_linear_attention_run_as_they_come(model, worth, tmp_path, monkeypatch):
    """Its loop over 64 tokens at a time would be compiled for each number of them."""
    monkeypatch.setattr(gpu, "worth_it", lambda _: True)
    mllm = tiny_mllm.load(model(tmp_path / "model"))
    mllm.compile()
    assert any(module._compiled_call_impl is not None for module in mllm.model.modules()) == worth
    mllm.compute_twice()
    kept = [getattr(module, "_gradient_checkpointing_func", None) for module in mllm.model.modules()]
    assert (gpu._compiled_within in kept) == worth
    assert any(kept)


@compiles
def test_threads_may_compile_as_many_variants_as_their_taker(minicpm, monkeypatch):
    """Torch keeps its compiler's settings a thread, and the threads that read would have its own eight."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    gpu.compile_blocks(minicpm.model)
    assert list(ahead(lambda _: torch._dynamo.config.recompile_limit, range(2), 2)) == [gpu.VARIANTS] * 2


def test_threads_that_read_pass_one_at_a_time(minicpm, monkeypatch):
    """A block may be compiled in any pass, for its shapes, and torch's compiler serves one thread at a time."""
    made = [minicpm.inputs(IMAGES[:1], WHOLE[:1]) for _ in range(6)]
    inside, most, one_pass = [], [], minicpm.model.base_model

    def watched(**given):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        found = one_pass(**given)
        inside.pop()
        return found

    monkeypatch.setattr(type(minicpm.model), "base_model", property(lambda _: watched))
    assert len(list(ahead(minicpm.read_inputs, made, 3))) == len(most) == 6
    assert max(most) == 1


@compiles
@pytest.mark.parametrize("twice", [False, True])
def test_compiled_blocks_learn_the_same(minicpm, traced, twice):
    learner = minicpm.add_lora(tiny_minicpm.LORA.model_copy(update={"modules_to_save": [], "dropout": 0.0}), seed=0)
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # zero at first, and then the other matrix learns nothing
    (inputs,) = minicpm.inputs(IMAGES, WHOLE)

    def gradients():
        learner.train().zero_grad()
        learner(**inputs.tensors, labels=inputs.tensors["input_ids"], use_cache=False).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in learner.named_parameters() if "lora_" in name}

    plain = gradients()
    if twice:
        gpu.compute_twice(learner.get_base_model(), compiled=True)
    else:
        gpu.compile_blocks(learner.get_base_model())
    compiled = gradients()
    assert traced["stats"]["unique_graphs"] >= 2
    assert all(gradient.any() for gradient in plain.values())
    for name, gradient in compiled.items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-6, rtol=1e-4, msg=name)


@compiles
def test_all_steps_of_all_batches_are_one_graph(minicpm, traced):
    plain = {new: texts_of(minicpm, IMAGES, ASK, new) for new in (8, 12)}
    minicpm.graph = gpu.StepGraph(minicpm.model)
    on_a_cpu = CompileConfig(backend="aot_eager", mode=None, fullgraph=True)
    on_a_cpu._compile_all_devices = True
    minicpm.model.generation_config.compile_config = on_a_cpu
    for new, texts in plain.items():
        assert texts_of(minicpm, IMAGES, ASK, new) == texts
        assert texts_of(minicpm, IMAGES[:2], ASK[:2], new) == texts[:2]
        assert traced["stats"]["unique_graphs"] == 1


@compiles
def test_adapters_on_one_model_have_a_graph_of_their_own(tmp_path, traced):
    """Which is there when it is an adapter's turn again."""
    folder = tiny_mllm.smolvlm(tmp_path / "model")
    folders = {"none": None}
    for seed, name in enumerate(("one", "two")):
        fresh = tiny_mllm.load(folder)
        fresh.add_lora(tiny_mllm.lora(alpha=4), seed=seed)
        for weight in filter(lambda weight: weight.requires_grad, fresh.model.parameters()):
            weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
        adapters.save(fresh.model, tmp_path / name)
        folders[name] = tmp_path / name
    plain = {
        name: texts_of(tiny_mllm.load(folder, adapter=adapter), IMAGES, ASK, 8) for name, adapter in folders.items()
    }
    assert len({str(texts) for texts in plain.values()}) == 3
    base = tiny_mllm.load(folder)
    base.graph = gpu.StepGraph(base.model)
    on_a_cpu = CompileConfig(backend="aot_eager", mode=None, fullgraph=True)
    on_a_cpu._compile_all_devices = True
    base.model.generation_config.compile_config = on_a_cpu
    shared = {name: base.sharing(name, adapter) for name, adapter in folders.items()}
    for name in (*folders, *reversed(folders)):
        assert texts_of(shared[name], IMAGES, ASK, 8) == plain[name]
    assert traced["stats"]["unique_graphs"] == len(folders)


def test_threads_take_turns_with_a_model(mllm):
    """As features has them on a GPU: several make inputs and two read, from the first batch on."""
    batches = [([picture(number, 16 + number, 24)], WHOLE[number % 3 : number % 3 + 1]) for number in range(12)]
    found = list(ahead(mllm.read_inputs, ahead(lambda batch: mllm.inputs(*batch), batches, 4), 2))
    for (images, chats), (reading,) in zip(batches, found, strict=True):
        (alone,) = mllm.read(images, chats)
        assert torch.equal(reading.states, alone.states)
        assert (reading.word, reading.description) == (alone.word, alone.description)


def test_a_batch_of_one_length_is_read_the_same_without_its_mask(minicpm):
    """Which is left out on a GPU: transformers would look what is in it."""
    (inputs,) = minicpm.inputs([picture(1), picture(5)], [WHOLE[0], WHOLE[0]])
    assert inputs.tensors["attention_mask"].all()
    bare = {name: tensor for name, tensor in inputs.tensors.items() if name != "attention_mask"}
    with torch.inference_mode():
        masked = minicpm.model.base_model(**inputs.tensors, use_cache=False).last_hidden_state
        unmasked = minicpm.model.base_model(**bare, use_cache=False).last_hidden_state
    torch.testing.assert_close(masked, unmasked, atol=1e-5, rtol=1e-5)
