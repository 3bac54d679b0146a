"""What can read the sequence inside a head: (B, T, dim) -> (B, T, dim), one function a kind.

| kind | what it is | source |
|---|---|---|
| xlstm | sLSTM blocks at some places, mLSTM at the others: xlstm's own stack | Beck et al. 2024, arXiv 2405.04517 |
| mlp | nothing: the mean of the projected tokens goes straight to the regressor | |
| statistics | nothing, and no token goes there: what a head reaches by its shortcut alone | |
| lstm | torch's | Hochreiter & Schmidhuber 1997 |
| gru | torch's | Cho et al. 2014, arXiv 1406.1078 |
| transformer | torch's layers, normalised first: causal attention, feed-forward | Vaswani et al. 2017 |
| mamba | transformers' Mamba-2; slow where `mamba_ssm` is not installed | Dao & Gu 2024, arXiv 2405.21060 |

All are causal, so what stands behind the last token of a right-padded sequence changes nothing, and none needs a
mask. It also tells the transformer where a token stands (Haviv et al. 2022, arXiv 2203.16634); added positions would
not fit a training that leaves out half of the tokens. Its feed-forward is twice as wide as the tokens and not four
times: at equal dim and blocks, the stacks then have 50,000 to 67,000 weights (dim 64, 2 blocks). `dropout` acts where
the kind's authors put it.
"""

from collections.abc import Callable, Sequence

import torch
import transformers
from torch import Tensor, nn
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from m3agiqa.head.mlstm import in_chunks
from m3agiqa.head.sizes import check_mamba, check_transformer, check_xlstm
from m3agiqa.head.slstm import accelerate

SCAN_CHUNK = (
    16  # tokens that transformers' Mamba-2 treats at once: no weight depends on it, and 16 is the CPU's fastest
)


def xlstm_stack(
    dim: int, *, dropout: float, blocks: int = 2, slstm_at: Sequence[int] = (1,), heads: int = 4
) -> xLSTMBlockStack:
    """Build xlstm's own block stack as in the paper, both of its cells made fast.

    Raises:
        InputError: a width that the heads do not divide, or an sLSTM block beyond the last.
    """
    check_xlstm(dim, blocks, slstm_at, heads)
    config = xLSTMBlockStackConfig(
        mlstm_block=mLSTMBlockConfig(
            mlstm=mLSTMLayerConfig(conv1d_kernel_size=4, qkv_proj_blocksize=4, num_heads=heads)
        ),
        slstm_block=sLSTMBlockConfig(
            slstm=sLSTMLayerConfig(backend="vanilla", num_heads=heads, conv1d_kernel_size=4),
            feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
        ),
        context_length=1,  # sizes a causal mask, which chunks do not need; no weight
        num_blocks=blocks,
        embedding_dim=dim,
        slstm_at=list(slstm_at),
        dropout=dropout,
    )
    return in_chunks(accelerate(xLSTMBlockStack(config)))


def no_stack(dim: int, *, dropout: float) -> nn.Module:  # noqa: ARG001 - called like the others
    """Leave the tokens as they are."""
    return nn.Identity()


class Nothing(nn.Module):
    """Takes every token away."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


def no_tokens(dim: int, *, dropout: float) -> nn.Module:  # noqa: ARG001 - called like the others
    """Read none."""
    return Nothing()


class Recurrent(nn.Module):
    """A torch RNN without its last state."""

    def __init__(self, cells: nn.RNNBase) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        read: Tensor = self.cells(x)[0]
        return read


def lstm_stack(dim: int, *, dropout: float, blocks: int = 2) -> Recurrent:
    """`blocks` layers of LSTM, dropout between them."""
    return Recurrent(nn.LSTM(dim, dim, blocks, batch_first=True, dropout=dropout if blocks > 1 else 0.0))


def gru_stack(dim: int, *, dropout: float, blocks: int = 2) -> Recurrent:
    """`blocks` layers of GRU, dropout between them."""
    return Recurrent(nn.GRU(dim, dim, blocks, batch_first=True, dropout=dropout if blocks > 1 else 0.0))


class Transformer(nn.Module):
    """Causal self-attention over the tokens of each image."""

    def __init__(self, dim: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(blocks)
        )  # torch's own TransformerEncoder starts all its layers with the same weights
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)  # (T, T), True is hidden
        for layer in self.layers:
            x = layer(x, src_mask=ahead, is_causal=True)
        read: Tensor = self.norm(x)
        return read


def transformer_stack(dim: int, *, dropout: float, blocks: int = 2, heads: int = 4) -> Transformer:
    """`blocks` layers of attention and feed-forward.

    Raises:
        InputError: a width that the heads do not divide.
    """
    check_transformer(dim, heads)
    return Transformer(dim, blocks, heads, dropout)


class Mamba(nn.Module):
    """transformers' Mamba-2, its tokens given as vectors."""

    def __init__(self, config: transformers.Mamba2Config) -> None:
        super().__init__()
        self.model = transformers.Mamba2Model(config)
        self.model.set_input_embeddings(nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        read: Tensor = self.model(inputs_embeds=x).last_hidden_state
        return read


def mamba_stack(dim: int, *, dropout: float, blocks: int = 2, heads: int = 4, state: int = 16) -> nn.Module:  # noqa: ARG001 - Mamba has none
    """`blocks` blocks of Mamba-2, twice as wide inside, `state` values kept for each channel.

    Raises:
        InputError: a width that the heads do not divide.
    """
    check_mamba(dim, heads)
    config = transformers.Mamba2Config(
        hidden_size=dim,
        num_hidden_layers=blocks,
        expand=2,
        num_heads=heads,
        head_dim=2 * dim // heads,
        state_size=state,
        n_groups=1,
        chunk_size=SCAN_CHUNK,
        use_cache=False,
        vocab_size=1,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    return Mamba(config)


STACKS: dict[str, Callable[..., nn.Module]] = {
    "xlstm": xlstm_stack,
    "mlp": no_stack,
    "statistics": no_tokens,
    "lstm": lstm_stack,
    "gru": gru_stack,
    "transformer": transformer_stack,
    "mamba": mamba_stack,
}
