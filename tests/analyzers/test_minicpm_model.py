"""MiniCPM-Llama3-V-2.5 against its published names and shapes, and against its equations written down once more."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig, LlamaForCausalLM

from analyzers.conversation import conversation
from analyzers.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from analyzers.mllm import LocalMLLM
from tests import tiny_minicpm
from tests.analyzers import minicpm_reference as reference
from tests.tiny_mllm import picture

# What config.json of the published repository says: as the tiny one's, but for the sizes, and without ids.
PUBLISHED = {key: value for key, value in tiny_minicpm.CONFIG.items() if key not in tiny_minicpm.UNPUBLISHED} | {
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_size": 4096,
    "image_size": 448,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "patch_size": 14,
    "query_num": 96,
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 980,
        "intermediate_size": 4304,
        "model_type": "idefics2",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
    "vocab_size": 128256,
}
# Every name of the published index with its shape; N counts layers.
WEIGHTS = {
    "llm.lm_head.weight": (128256, 4096),
    "llm.model.embed_tokens.weight": (128256, 4096),
    "llm.model.norm.weight": (4096,),
    "llm.model.layers.N.input_layernorm.weight": (4096,),
    "llm.model.layers.N.post_attention_layernorm.weight": (4096,),
    "llm.model.layers.N.mlp.down_proj.weight": (4096, 14336),
    "llm.model.layers.N.mlp.gate_proj.weight": (14336, 4096),
    "llm.model.layers.N.mlp.up_proj.weight": (14336, 4096),
    "llm.model.layers.N.self_attn.q_proj.weight": (4096, 4096),
    "llm.model.layers.N.self_attn.k_proj.weight": (1024, 4096),
    "llm.model.layers.N.self_attn.v_proj.weight": (1024, 4096),
    "llm.model.layers.N.self_attn.o_proj.weight": (4096, 4096),
    "resampler.query": (96, 4096),
    "resampler.proj": (4096, 4096),
    "resampler.kv_proj.weight": (4096, 1152),
    "resampler.attn.in_proj_weight": (12288, 4096),
    "resampler.attn.in_proj_bias": (12288,),
    "resampler.attn.out_proj.weight": (4096, 4096),
    "resampler.attn.out_proj.bias": (4096,),
    **{f"resampler.ln_{norm}.{part}": (4096,) for norm in ("q", "kv", "post") for part in ("weight", "bias")},
    "vpm.embeddings.patch_embedding.weight": (1152, 3, 14, 14),
    "vpm.embeddings.patch_embedding.bias": (1152,),
    "vpm.embeddings.position_embedding.weight": (4900, 1152),
    **{f"vpm.encoder.layers.N.layer_norm{n}.{part}": (1152,) for n in (1, 2) for part in ("weight", "bias")},
    **{f"vpm.encoder.layers.N.self_attn.{p}_proj.weight": (1152, 1152) for p in ("q", "k", "v", "out")},
    **{f"vpm.encoder.layers.N.self_attn.{p}_proj.bias": (1152,) for p in ("q", "k", "v", "out")},
    "vpm.encoder.layers.N.mlp.fc1.weight": (4304, 1152),
    "vpm.encoder.layers.N.mlp.fc1.bias": (4304,),
    "vpm.encoder.layers.N.mlp.fc2.weight": (1152, 4304),
    "vpm.encoder.layers.N.mlp.fc2.bias": (1152,),
    "vpm.post_layernorm.weight": (1152,),
    "vpm.post_layernorm.bias": (1152,),
}
LAYERS = {"llm": 32, "vpm": 27}

# One view; four slices; a wide one, whose slices differ from the whole in length; a long one.
IMAGES = [picture(1, 16, 16), picture(2, 40, 24), picture(3, 64, 12), picture(4, 14, 50)]
CHATS = [conversation("quality", prompt, "Sharp.") for prompt in ("a cat", "", "two blue balls", "кот")]


@pytest.fixture(scope="module")
def mllm(tmp_path_factory):
    folder = tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm")
    return LocalMLLM.load(str(folder), revision=None, dtype="float32", max_length=400, device="cpu")


def inputs(mllm, images=IMAGES, chats=CHATS, side="right"):
    return mllm._tensors(images, chats, padding_side=side)


def test_every_published_weight_has_its_place(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(tmp_path))
    expected = {
        name.replace(".N.", f".{layer}."): shape
        for name, shape in WEIGHTS.items()
        for layer in range(LAYERS[name.split(".")[0]] if ".N." in name else 1)
    }
    assert len(expected) == 741
    assert {name: tuple(weight.shape) for name, weight in model.state_dict().items()} == expected
    assert model.resampler.attn.num_heads == 32
    assert model.generation_config.eos_token_id == [128001, 128009]
    assert model.config.rope_parameters["rope_theta"] == 500000


@pytest.mark.skipif(
    not (facts := Path(__file__).parents[3] / "shared/facts/minicpm_llama3_v_2_5_keys.txt").is_file(),
    reason="the list of published names is not beside the checkout",
)
def test_the_names_above_are_the_published_ones():
    listed = [line for line in facts.read_text().splitlines() if not line.startswith("#")]
    assert {line.split()[0] for line in listed} == set(WEIGHTS)
    for line in listed:
        last = re.search(r"0\.\.(\d+)", line)
        assert last is None or int(last[1]) + 1 == LAYERS[line.split(".")[0]]


def test_other_generations_of_the_model_type_are_refused():
    with pytest.raises(ValueError, match=r"MiniCPM-V 2\.6"):
        MiniCPMVConfig(**tiny_minicpm.CONFIG | {"version": 2.6})


def test_the_states_are_what_the_equations_give(mllm):
    """Views, positions, resampler, splice by the reference; the language model is transformers' own."""
    network = mllm.model
    state, config = network.state_dict(), network.config
    llama = LlamaForCausalLM(config).eval()
    llama.load_state_dict({name[4:]: value for name, value in state.items() if name.startswith("llm.")})
    for image, chat in zip(IMAGES, CHATS, strict=True):
        batch = inputs(mllm, [image], [chat])
        sizes = [tuple(size) for size in batch["tgt_sizes"].tolist()]
        strips = [
            strip[:, :, : rows * columns * tiny_minicpm.PATCH]
            for strip, (rows, columns) in zip(batch["pixel_values"], sizes, strict=True)
        ]
        expected = reference.image_vectors(state, strips, sizes, places=10)
        images = {name: batch[name] for name in ("pixel_values", "tgt_sizes")}
        with torch.no_grad():
            vectors = network.image_vectors(**images)
            torch.testing.assert_close(vectors, torch.stack(expected), atol=1e-4, rtol=1e-4)
            embedded = reference.spliced(
                state, batch["input_ids"][0].tolist(), expected, config.image_start_id, config.image_end_id
            )
            states = llama.model(inputs_embeds=embedded[None]).last_hidden_state
            found = network.base_model(**batch, use_cache=False).last_hidden_state
        torch.testing.assert_close(found, states, atol=1e-4, rtol=1e-4)
        (reading,) = mllm.read([image], [chat])
        torch.testing.assert_close(reading.states, states[0], atol=1e-4, rtol=1e-4)


def test_positions_of_a_strip_are_those_of_one_row(mllm):
    """Each of a view's patches alone in its place: what its embedding adds to zero pixels is its position."""
    embeddings, places = mllm.model.vpm.embeddings, 10
    for patches in (1, 7, 10, 15, 16, 33):
        strip = torch.zeros(1, 3, tiny_minicpm.PATCH, tiny_minicpm.PATCH * patches)
        with torch.no_grad():
            found = embeddings(strip, torch.ones(1, 1, patches, dtype=torch.bool))[0]
        rows = [reference.place(patch, patches, places) for patch in range(patches)]
        expected = embeddings.patch_embedding.bias + embeddings.position_embedding.weight[rows]
        torch.testing.assert_close(found, expected.detach())


def test_a_batch_is_what_its_images_are_alone(mllm):
    batch = inputs(mllm)
    assert not batch["patch_attention_mask"].all()
    names = ("pixel_values", "tgt_sizes", "patch_attention_mask")
    with torch.no_grad():
        together = mllm.model.image_vectors(**{name: batch[name] for name in names})
        logits = mllm.model(**batch).logits
        start = 0
        for row, (image, chat) in enumerate(zip(IMAGES, CHATS, strict=True)):
            alone = inputs(mllm, [image], [chat])
            vectors = mllm.model.image_vectors(**{name: alone[name] for name in names if name in alone})
            torch.testing.assert_close(together[start : start + len(vectors)], vectors, atol=1e-4, rtol=1e-4)
            start += len(vectors)
            length = alone["input_ids"].shape[1]
            torch.testing.assert_close(logits[row, :length], mllm.model(**alone).logits[0], atol=1e-4, rtol=1e-4)


def test_a_view_of_more_than_seventy_columns_is_seen(mllm):
    image = picture(5, 300, 3)
    batch = mllm.processor(text="(<image>./</image>)", images=image, max_slice_nums=1, return_tensors="pt")
    state = mllm.model.state_dict()
    ((rows, columns),) = batch["tgt_sizes"].tolist()
    assert columns > 10  # of the tiny tower's ten places a side
    (expected,) = reference.image_vectors(state, [batch["pixel_values"][0]], [(rows, columns)], places=10)
    with torch.no_grad():
        (vectors,) = mllm.model.image_vectors(batch["pixel_values"], batch["tgt_sizes"])
    torch.testing.assert_close(vectors, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_with_a_cache_is_greedy_search_without(mllm, cache):
    batch = inputs(mllm, side="left")
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    tokens = mllm.model.generate(**batch, **settings, use_cache=True, cache_implementation=cache)
    with torch.no_grad():
        grown = dict(batch)
        for _ in range(8):
            following = mllm.model(**grown, use_cache=False).logits[:, -1].argmax(dim=-1, keepdim=True)
            grown["input_ids"] = torch.cat([grown["input_ids"], following], dim=1)
            grown["attention_mask"] = torch.ones_like(grown["input_ids"])
            grown["attention_mask"][:, : batch["input_ids"].shape[1]] = batch["attention_mask"]
            grown["position_ids"] = (grown["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    assert torch.equal(tokens, grown["input_ids"])
    assert torch.equal(tokens, mllm.model.generate(**batch, **settings, use_cache=False))


def test_beams_see_their_own_images(mllm):
    settings = GenerationConfig(max_new_tokens=6, num_beams=3, do_sample=False, pad_token_id=0, eos_token_id=505)
    batch = inputs(mllm, side="left")
    together = mllm.model.generate(**batch, generation_config=settings)[:, batch["input_ids"].shape[1] :]
    for row, (image, chat) in enumerate(zip(IMAGES, CHATS, strict=True)):
        alone = inputs(mllm, [image], [chat], side="left")
        found = mllm.model.generate(**alone, generation_config=settings)[0, alone["input_ids"].shape[1] :]
        assert torch.equal(together[row, : len(found)], found)


def test_the_forward_pass_waits_for_no_number_from_the_device(mllm):
    """Under fake tensors there are no numbers to ask for: a hidden .item() or .all() raises."""
    batch = inputs(mllm, IMAGES[1:2], CHATS[1:2])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        weights = {name: mode.from_tensor(weight.detach()) for name, weight in mllm.model.named_parameters()}
        # Without a mask of the tokens: transformers asks one whether anything is masked, if it can.
        fake = {name: mode.from_tensor(tensor) for name, tensor in batch.items() if name != "attention_mask"}
        logits = functional_call(mllm.model, weights, kwargs={**fake, "use_cache": False}).logits
    assert logits.shape == (*batch["input_ids"].shape, mllm.model.config.vocab_size)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(reentrant):
    gradients = []
    for checkpointing in (False, True):
        network = tiny_minicpm.model().train()
        if checkpointing:
            network.activation_checkpointing_enable({"use_reentrant": reentrant})
            assert network.llm.model.gradient_checkpointing
            assert network.vpm.encoder.gradient_checkpointing
        pixels = torch.rand(2, 3, 4, 64, generator=torch.Generator().manual_seed(0))
        start, end = network.config.image_start_id, network.config.image_end_id
        ids = torch.tensor([[500, start, 502, 502, 502, end, 7], [500, start, 502, 502, 502, end, 9]])
        network(ids, pixels, torch.tensor([[4, 4], [3, 5]]), labels=ids, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradient, gradients[0][name], msg=name)


def test_the_loss_is_the_next_token_s(mllm):
    batch = inputs(mllm)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with torch.no_grad():
        outputs = mllm.model(**batch, labels=labels)
        last = mllm.model(**batch, logits_to_keep=torch.tensor([3, 5])).logits
    expected = torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(outputs.loss, expected)
    torch.testing.assert_close(last, outputs.logits[:, [3, 5]])
