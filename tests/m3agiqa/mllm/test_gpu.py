"""What runs on a GPU alone is measured there (benchmarks/full_size); what it computes is tested here."""

import pytest
import torch
from transformers.generation.utils import DeferredStopCheck
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5 import modeling
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import picture


@pytest.fixture(params=[tiny_minicpm.minicpm, tiny_mllm.minicpm_v_4_6, tiny_mllm.qwen3_vl])
def mllm(request, tmp_path):
    folder = request.param(tmp_path / "model")
    return tiny_mllm.load(folder)


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
    images = [picture(1), picture(2, 40, 24), picture(3)]
    ask = [conversation("quality", prompt) for prompt in ("a red cube", "", "two blue balls left of a cone")]
    plain = mllm.describe(images, ask, 12)
    mllm.graph = gpu.StepGraph(mllm.model)
    assert mllm.describe(images, ask, 12) == plain
    assert mllm.describe(images[:1], ask[:1], 12) == plain[:1]
    assert mllm.model._previous_max_cache_length % gpu.CACHE_STRIDE == 0


def test_the_graphs_attention_reads_the_same(mllm, monkeypatch):
    """And writes out no mask for the views of different size, which would take longer than looking at them."""
    images = [picture(1), picture(2, 40, 24), picture(3, 64, 64)]
    whole = [conversation("quality", prompt, "Sharp.") for prompt in ("a red cube", "", "two blue balls")]
    plain = mllm.read(images, whole)
    mllm.graph = gpu.StepGraph(mllm.model)
    monkeypatch.setattr(modeling, "create_bidirectional_mask", lambda *_, **__: pytest.fail("(S, 1, L, L)"))
    for before, after in zip(plain, mllm.read(images, whole), strict=True):
        assert torch.equal(before.states, after.states)


def test_the_host_waits_for_no_gpu_to_know_whether_to_stop():
    def late(kind, **how):
        return DeferredStopCheck.is_supported(torch.device(kind), cache=None, cache_is_returned=False, **how)

    assert late("cuda", is_assistant=False)
    assert late("mps", is_assistant=False)
    assert not late("cpu", is_assistant=False)
    assert not late("cuda", is_assistant=True)


def test_one_size_of_batch_is_compiled_for(mllm):
    graph = gpu.StepGraph(mllm.model)
    assert graph.options(4, 128) == {"max_cache_len": 128, "disable_compile": False}
    assert graph.options(3, 129) == {"max_cache_len": 256, "disable_compile": True}
    assert graph.options(4, 1) == {"max_cache_len": 128, "disable_compile": False}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.compile imports what uses it
def test_nothing_with_a_checkpoint_inside_is_compiled(mllm):
    """Blocks as wholes, or their parts where the block computes its activations again."""

    def compiled():
        return {name for name, module in mllm.model.named_modules() if module._compiled_call_impl is not None}

    gpu.compile_blocks(mllm.model, activation_checkpointing=True)
    parts = compiled()
    assert any(name.endswith("self_attn") for name in parts)
    gpu.compile_blocks(mllm.model)
    blocks = compiled() - parts
    assert blocks
    assert {name.rpartition(".")[0] for name in parts} == blocks
