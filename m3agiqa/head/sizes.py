"""Which sizes of a stack fit together: known without building one, so that settings are refused when they are read."""

from collections.abc import Sequence

from m3agiqa.errors import InputError


def check_xlstm(dim: int, blocks: int, slstm_at: Sequence[int], heads: int) -> None:
    """Refuse a width that the heads do not divide, or an sLSTM block beyond the last, with InputError."""
    if dim % heads or dim // heads < 2 or dim % 4:
        raise InputError(f"dim = {dim} must be a multiple of 4 and of heads = {heads}, at least twice that")
    if outside := [place for place in slstm_at if not 0 <= place < blocks]:
        raise InputError(f"slstm_at = {outside[0]} names no block; they are counted from 0, and blocks = {blocks}")


def check_transformer(dim: int, heads: int) -> None:
    """Refuse a width that the heads do not divide, with InputError."""
    if dim % heads:
        raise InputError(f"dim = {dim} must be a multiple of heads = {heads}")


def check_mamba(dim: int, heads: int) -> None:
    """Refuse an inner width that the heads do not divide, with InputError."""
    if 2 * dim % heads:
        raise InputError(f"twice dim = {dim} must be a multiple of heads = {heads}")
