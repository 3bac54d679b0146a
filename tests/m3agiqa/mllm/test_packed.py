"""A vision tower's views, attended to at once. The kernel itself runs on a GPU (test_on_a_gpu.py)."""

import pytest
import torch
from transformers import Lfm3VlVisionConfig, Lfm3VlVisionModel

from m3agiqa.mllm import packed
from m3agiqa.mllm.conversation import conversation
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import picture

IMAGES = [picture(1), picture(2, 40, 24), picture(3, 64, 64)]
WHOLE = [conversation("quality", prompt, "Sharp.") for prompt in ("a red cube", "", "two blue balls")]


@pytest.fixture(params=[tiny_mllm.minicpm_v_4_6, tiny_mllm.qwen3_vl])
def mllm(request, tmp_path):
    return tiny_mllm.load(request.param(tmp_path / "model"))


def kinds(mllm):
    return [each.config._attn_implementation for each in packed.attentions(mllm.model)]


def packing(network, monkeypatch):
    """Have it attend at once, by what stands for the kernel; the list grows with each call."""
    calls = []
    monkeypatch.setattr(packed, "varlen_attn", lambda *args, **how: calls.append(1) or one_view_at_a_time(*args, **how))
    for each in packed.attentions(network):
        each.config._attn_implementation = packed.PACKED
    return calls


def one_view_at_a_time(query, key, value, bounds, bounds_of_keys, longest, longest_of_keys, *, scale):
    """What torch's kernel computes, (T, H, d), on a CPU, which has none."""
    assert torch.equal(bounds, bounds_of_keys)
    assert bounds.dtype == torch.int32
    assert query.shape == key.shape == value.shape  # heads, too
    lengths = (bounds[1:] - bounds[:-1]).tolist()
    assert longest == longest_of_keys == max(lengths)
    views = zip(*(each.transpose(0, 1).split(lengths, dim=1) for each in (query, key, value)), strict=True)
    found = [torch.nn.functional.scaled_dot_product_attention(*view, scale=scale) for view in views]
    return torch.cat(found, dim=1).transpose(0, 1)


def test_views_attended_to_at_once_are_seen_as_each_alone(mllm, monkeypatch):
    plain = mllm.read(IMAGES, WHOLE)
    calls = packing(mllm.model, monkeypatch)
    for one, other in zip(mllm.read(IMAGES, WHOLE), plain, strict=True):
        torch.testing.assert_close(one.states, other.states, atol=1e-4, rtol=1e-4)
    assert len(calls) == len(kinds(mllm))  # one a layer, whatever the number of views


def test_queries_that_share_a_key_share_it_at_once_too(monkeypatch):
    tower = Lfm3VlVisionModel._from_config(
        Lfm3VlVisionConfig(
            hidden_size=64,
            intermediate_size=96,
            patch_size=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_hidden_layers=2,
            layer_types=["full_attention", "conv"],
        )
    ).eval()
    sizes = torch.tensor([[1, 4, 6], [1, 2, 4], [1, 8, 2]])
    patches = torch.randn(int(sizes.prod(dim=1).sum()), 3 * 2 * 4 * 4)
    with torch.inference_mode():
        plain = tower(patches, sizes).last_hidden_state
        calls = packing(tower, monkeypatch)
        torch.testing.assert_close(tower(patches, sizes).last_hidden_state, plain, atol=1e-5, rtol=1e-5)
    assert calls


@pytest.mark.parametrize(
    ("device", "dtype", "dropout", "capability", "at_once"),
    [
        ("cuda", torch.bfloat16, 0.0, (9, 0), True),
        ("cuda", torch.float16, 0.0, (8, 0), True),
        ("cuda", torch.float16, 0.0, (7, 5), False),
        ("cuda", torch.float16, 0.1, (9, 0), False),
        ("cuda", torch.float32, 0.0, (9, 0), False),
        ("cpu", torch.bfloat16, 0.0, None, False),
    ],
)
def test_where_the_kernel_can_be_used(mllm, monkeypatch, device, dtype, dropout, capability, at_once):
    kind = type(mllm.model)
    monkeypatch.setattr(kind, "device", property(lambda _: torch.device(device)))
    monkeypatch.setattr(kind, "dtype", property(lambda _: dtype))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    before = kinds(mllm)
    for each in packed.attentions(mllm.model):
        each.config.attention_dropout = dropout
    packed.attend_at_once(mllm.model)
    assert before
    assert packed.PACKED not in before
    assert kinds(mllm) == ([packed.PACKED] * len(before) if at_once else before)


def test_a_tower_whose_views_are_in_a_batch_stays_as_it_is(tmp_path):
    mllm = tiny_mllm.load(tiny_minicpm.minicpm(tmp_path / "model"))
    assert not kinds(mllm)
