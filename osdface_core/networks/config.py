"""Sizes of the networks, checked field by field before anything is built from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from typing_extensions import Self

from ..limits import check_count, check_number
from ..serialization import Json

WIDEST, DEEPEST, LEVELS = 8192, 8, 8
"""No network that belongs here has wider layers, more of them in a block, or more blocks."""


@dataclass(frozen=True)
class NetworkConfig:
    """What networks' configurations have in common: read from diffusers' JSON, with nothing taken on trust."""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The configuration in a table with diffusers' names. Raises ValueError for what these networks cannot be."""
        if not isinstance(data, Mapping):
            raise ValueError(f"a network's configuration is a table, not {data!r:.60}")
        own = {field.name for field in fields(cls)}
        for name, value in data.items():
            if name not in own and not name.startswith("_") and value not in cls.ignored().get(name, (None, False)):
                raise ValueError(f"{name} = {value!r:.60} is not supported")
        return cls(**{name: frozen(value) for name, value in data.items() if name in own})

    @classmethod
    def ignored(cls) -> dict[str, tuple[object, ...]]:
        """Fields of diffusers that have no part in these networks, and the values that they may have."""
        return {}

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """A UNet with cross-attention, in diffusers' terms and with its defaults."""

    sample_size: int = 64
    """Not used: a UNet takes latents of any size."""
    in_channels: int = 4
    out_channels: int = 4
    down_block_types: tuple[str, ...] = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up_block_types: tuple[str, ...] = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    attention_head_dim: int | tuple[int, ...] = 8
    """How many heads every level's attention has (the name is diffusers')."""
    cross_attention_dim: int = 1280
    use_linear_projection: bool = False
    upcast_attention: bool = False
    norm_num_groups: int = 32

    @classmethod
    def ignored(cls) -> dict[str, tuple[object, ...]]:
        return {
            "act_fn": ("silu",),
            "addition_embed_type_num_heads": (64,),
            "attention_type": ("default",),
            "conv_in_kernel": (3,),
            "conv_out_kernel": (3,),
            "downsample_padding": (1,),
            "dropout": (0,),
            "flip_sin_to_cos": (True,),
            "freq_shift": (0,),
            "mid_block_scale_factor": (1,),
            "mid_block_type": ("UNetMidBlock2DCrossAttn",),
            "norm_eps": (1e-5,),
            "resnet_out_scale_factor": (1,),
            "resnet_time_scale_shift": ("default",),
            "time_embedding_type": ("positional",),
            "transformer_layers_per_block": (1,),
        }

    def __post_init__(self) -> None:
        check_blocks("down_block_types", self.down_block_types, ("CrossAttnDownBlock2D", "DownBlock2D"))
        check_blocks("up_block_types", self.up_block_types, ("CrossAttnUpBlock2D", "UpBlock2D"))
        check_widths(
            self.block_out_channels, self.norm_num_groups, len(self.down_block_types), len(self.up_block_types)
        )
        for name in ("in_channels", "out_channels", "cross_attention_dim"):
            check_count(name, getattr(self, name), WIDEST)
        check_count("layers_per_block", self.layers_per_block, DEEPEST)
        check_flag("use_linear_projection", self.use_linear_projection)
        check_flag("upcast_attention", self.upcast_attention)
        if len(self.heads) != len(self.block_out_channels):
            raise ValueError(f"attention_head_dim = {self.attention_head_dim} is not one for every level")
        for heads, width in zip(self.heads, self.block_out_channels, strict=True):
            check_count("attention_head_dim", heads, WIDEST)
            if width % heads:
                raise ValueError(f"attention_head_dim: {width} channels cannot be shared by {heads} heads")

    @property
    def heads(self) -> tuple[int, ...]:
        """The number of attention heads of every level."""
        heads = self.attention_head_dim
        return heads if isinstance(heads, tuple) else (heads,) * len(self.block_out_channels)


@dataclass(frozen=True)
class VAEConfig(NetworkConfig):
    """Stable Diffusion's VAE, in diffusers' terms and with its defaults."""

    sample_size: int = 32
    """Not used: a VAE takes images of any size."""
    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    latent_channels: int = 4
    norm_num_groups: int = 32
    scaling_factor: float = 0.18215

    @classmethod
    def ignored(cls) -> dict[str, tuple[object, ...]]:
        yes = (True,)
        return {
            "act_fn": ("silu",),
            "force_upcast": (True, False),
            "mid_block_add_attention": yes,
            "use_post_quant_conv": yes,
            "use_quant_conv": yes,
        }

    def __post_init__(self) -> None:
        check_blocks("down_block_types", self.down_block_types, ("DownEncoderBlock2D",))
        check_blocks("up_block_types", self.up_block_types, ("UpDecoderBlock2D",))
        check_widths(
            self.block_out_channels, self.norm_num_groups, len(self.down_block_types), len(self.up_block_types)
        )
        for name in ("in_channels", "out_channels", "latent_channels"):
            check_count(name, getattr(self, name), WIDEST)
        check_count("layers_per_block", self.layers_per_block, DEEPEST)
        check_number("scaling_factor", self.scaling_factor, 1e-4, 1e4)


def frozen(value: object) -> Any:
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} = {value!r:.60} must be true or false")


def check_blocks(name: str, kinds: object, known: tuple[str, ...]) -> None:
    if not isinstance(kinds, tuple) or not 1 <= len(kinds) <= LEVELS or not all(kind in known for kind in kinds):
        raise ValueError(f"{name} = {kinds!r:.120} must be 1 to {LEVELS} of {', '.join(known)}")


def check_widths(widths: object, groups: object, *levels: int) -> None:
    check_count("norm_num_groups", groups, WIDEST)
    assert isinstance(groups, int)
    if not isinstance(widths, tuple) or any(len(widths) != count for count in levels):
        raise ValueError(f"block_out_channels = {widths!r:.60} must be one width for every block")
    for width in widths:
        check_count("block_out_channels", width, WIDEST)
        if width % groups:
            raise ValueError(f"block_out_channels: {width} is not a multiple of norm_num_groups, {groups}")
