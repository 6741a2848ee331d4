"""Networks of the architectures that spandrel knows, recognized by the names and shapes of their tensors."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._compat import spandrel
from ..errors import CheckpointError, NetworkError

SOURCE = "spandrel"  # what a descriptor and a file's metadata call it
# Their purpose is another: they clean pictures and do not enlarge them.
_RESTORING = frozenset(
    "DRUNet DnCNN FBCNN FFTformer HVICIDNet KBNet MixDehazeNet NAFNet RetinexFormer SAFMNBCIE SCUNet Uformer".split()
)
_OTHER = frozenset({"GFPGAN", "LaMa", "RestoreFormer"})  # faces, and holes in pictures
# Enlarging ones that are no function from one picture to one picture.
_ODD = {
    "AuraSR": "draws random numbers in each pass",
    "IPT": "needs to be told its task in each pass",
    "MMRealSR": "returns more than a picture",
}

_LARGE = 1 << 14  # bytes
LeftOut = Mapping[str, tuple[str, Sequence[int]]]  # of tensors: dtype, such as "float32", and shape


@dataclass(frozen=True)
class Facts:
    """What spandrel tells of a network; :func:`recognize` leaves them with it as ``adabm_facts``.

    Attributes:
        name: of the architecture, as spandrel calls it, e.g. ``"SwinIR"``; the class may have another name.
        scale: upsampling factor.
        channels, output_channels: of the pictures.
        size_multiple, minimum_size: the sides of the input must be multiples of the one and no less than the other.
        value_range: largest pixel value; all of spandrel's networks take 0 to 1.
    """

    name: str
    scale: int
    channels: int = 3
    output_channels: int = 3
    size_multiple: int = 1
    minimum_size: int = 1
    value_range: float = 1.0


def facts_of(network: nn.Module) -> Facts | None:
    """Return what spandrel told of a network that :func:`recognize` built, or None."""
    return getattr(network, "adabm_facts", None)


def community_architectures() -> tuple[str, ...]:
    """Return the names of the architectures that :func:`recognize` takes, in alphabetical order."""
    names = {support.architecture.id for support in spandrel().MAIN_REGISTRY}
    return tuple(sorted(names - _RESTORING - _OTHER - _ODD.keys(), key=str.casefold))


def version() -> str:
    """Return spandrel's version, on which what its networks compute depends."""
    return spandrel().__version__


def recognize(state: Mapping[str, Tensor], left_out: LeftOut | None = None) -> nn.Module | None:
    """Build the network that a state dict belongs to, by its tensors alone.

    Args:
        state: all tensors of a network under the names of its authors; left as it is.
        left_out: what :func:`rebuildable` told of those that ``state`` lacks.

    Returns:
        The network with these weights, in evaluation mode, its attribute ``adabm_facts`` set; None where no
        architecture is recognized. Torch's random state is left as it was.

    Raises:
        CheckpointError: the tensors do not fit the architecture, or it is not one of super-resolution.
    """
    most = max((int(part) for name in state for part in name.split(".") if part.isdecimal()), default=0)
    if most > 4 * len(state) + 16:  # a damaged name must not lead to a network of a million blocks
        raise CheckpointError(f"a tensor's name has the number {most}, of {len(state)} tensors; the file is damaged")
    names = {**state, **(left_out or {})}
    candidates = [s.architecture for s in spandrel().MAIN_REGISTRY.architectures("detection") if s.detect(names)]
    failures = []
    for found in candidates:  # of some, other networks have all tensors that spandrel looks for
        try:
            descriptor = _built(found, state, left_out or {})
            break
        except Exception as error:  # whatever foreign code does on tensors that it does not expect
            reason = " ".join(str(error).split())[:300]
            failures.append(f"looks like {found.id}, but does not fit it: {type(error).__name__}: {reason}")
    else:
        if failures:
            raise CheckpointError("; ".join(failures))
        return None
    if descriptor.purpose not in ("SR", "Restoration") or found.id in _RESTORING:
        others = {"FaceSR": "restores faces", "Inpainting": "fills holes"}
        purpose = others.get(descriptor.purpose, "restores pictures without enlarging them")
        raise CheckpointError(f"is {found.id}, which {purpose} and is no super-resolution network")
    if found.id in _ODD:
        raise CheckpointError(
            f"is {found.id}, which {_ODD[found.id]}; wrap it in a module of your own that maps one picture to one picture"
        )
    size = descriptor.size_requirements
    network = descriptor.model.eval()
    network.register_forward_pre_hook(_copied)
    network.adabm_facts = Facts(
        found.id,
        descriptor.scale,
        descriptor.input_channels,
        descriptor.output_channels,
        size.multiple_of,
        max(size.minimum, 1),
    )
    return network


def _built(architecture: object, state: Mapping[str, Tensor], left_out: LeftOut) -> object:
    """Have spandrel build the network of an architecture; return its descriptor of it."""
    shaped = {
        name: torch.zeros((), dtype=getattr(torch, kind)).expand(shape) for name, (kind, shape) in left_out.items()
    }
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside spandrel, none of the user's doing
        descriptor = architecture.load({**state, **shaped})  # no value of what was left out counts
        if left_out:
            made = dict(type(descriptor.model)(**descriptor.model.hyperparameters).named_buffers())
            for name in left_out:
                descriptor.model.get_buffer(name).copy_(made[name])
    return descriptor


def rebuildable(network: nn.Module, state: Mapping[str, Tensor]) -> LeftOut:
    """Return which large tensors of ``state`` need not stand in a file, since :func:`recognize` computes them again.

    They are buffers, such as attention masks, of which spandrel reads no more than the shape. That what is left gives the
    same network is tried out.

    Args:
        network: whose tensors ``state`` are; built by :func:`recognize`.

    Raises:
        NetworkError: not even all tensors of ``state`` are recognized as the same network, or spandrel did not make it.
    """
    if facts_of(network) is None:
        raise NetworkError(
            f"{type(network).__name__}: its descriptor has a source, but spandrel did not make it; leave that out: "
            "dataclasses.replace(descriptor, source='')"
        )
    buffers = {name for name, _ in network.named_buffers()}
    large = {
        name: (str(value.dtype).removeprefix("torch."), list(value.shape))
        for name, value in state.items()
        if name in buffers and value.numel() * value.element_size() >= _LARGE
    }
    for left_out in (large, {}):
        if _gives_again(network, state, left_out):
            return left_out
    raise NetworkError(
        f"{facts_of(network).name}: spandrel does not recognize what it made of this network's file, so that no other file "
        "can rebuild it; go on with the original one"
    )


def _gives_again(network: nn.Module, state: Mapping[str, Tensor], left_out: LeftOut) -> bool:
    try:
        again = recognize({name: value for name, value in state.items() if name not in left_out}, left_out)
    except CheckpointError:
        return False
    if again is None or facts_of(again) != facts_of(network) or again.hyperparameters != network.hyperparameters:
        return False
    made = again.state_dict()
    return made.keys() == state.keys() and all(torch.equal(made[n].to(v.device, v.dtype), v) for n, v in state.items())


def _copied(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy the pictures that go into a network; some of spandrel's, such as RCAN, change them in place."""
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)
