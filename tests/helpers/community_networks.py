"""Tiny networks of spandrel's classes with random weights, and files of them as the community publishes them."""

from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from adabm._compat import spandrel

_WINDOWED = dict(img_size=16, depths=[2], num_heads=[2], window_size=4, mlp_ratio=2.0, upscale=2)
_DIRECT = dict(upsampler="pixelshuffledirect")
COMMUNITY = {  # options of the class that spandrel.architectures.<name> exports under that name
    "SwinIR": dict(_WINDOWED, embed_dim=8, **_DIRECT),
    "HAT": dict(_WINDOWED, embed_dim=32, upsampler="pixelshuffle", num_feat=64),
    "DAT": dict(_DIRECT, img_size=16, embed_dim=32, split_size=[2, 4], depth=[3], num_heads=[2], upscale=2),
    "RCAN": dict(scale=2, rgb_range=255, n_resgroups=2, n_resblocks=2, n_feats=8, reduction=4),
    "ESRGAN": dict(in_nc=3, out_nc=3, num_filters=4, num_blocks=1, scale=4),
    "SPAN": dict(num_in_ch=3, num_out_ch=3, feature_channels=4, upscale=2),
    "SAFMN": dict(dim=8, n_blocks=2, ffn_scale=2.0, upscaling_factor=2),
}


def scale_of(name: str) -> int:
    """The upsampling factor of a network of ``COMMUNITY``."""
    return next(COMMUNITY[name][key] for key in ("upscale", "scale", "upscaling_factor") if key in COMMUNITY[name])


def build_community(architecture: str, **options: object) -> nn.Module:
    """Build a network of a class of spandrel's with weights that are always the same."""
    spandrel()
    cls = getattr(import_module(f"spandrel.architectures.{architecture}"), architecture)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cls(**options).eval()


def write_community(folder: Path, name: str, suffix: str = ".pth") -> tuple[Path, nn.Module]:
    """Write a file of a network of ``COMMUNITY``; return it and the network."""
    network = build_community(name, **COMMUNITY[name])
    path = folder / f"{name.lower()}{suffix}"
    if suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    else:
        torch.save({"params_ema": network.state_dict()}, path)
    return path, network
