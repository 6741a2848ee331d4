"""Whether a network is one whose code is known, as it was built: nothing of the user's was put into it."""

from torch import nn

from .architecture import architecture_of
from .community import facts_of

_KNOWN = frozenset({"adabm", "basicsr", "spandrel", "torch", "torchvision", "timm", "einops"})  # packages


def is_untouched(network: nn.Module) -> bool:
    """Whether a network is of an architecture of this package or of spandrel, and no block, hook or ``forward`` of another origin is in it.

    Numbers that were set by hand, such as ``mean``, do not count: they change what it computes, but not how.
    """
    known = architecture_of(network)
    if facts_of(network) is None and (known is None or known.file is not None):
        return False
    return all(map(_is_known, network.modules()))


def _is_known(module: nn.Module) -> bool:
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    if "forward" in vars(module) or not all(map(_is_of_known_package, (type(module), *hooks))):
        return False
    by_batch = isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None
    return not by_batch  # no architecture has such, which take the mean of whatever stands in a batch


def _is_of_known_package(thing: object) -> bool:
    return (getattr(thing, "__module__", None) or "").partition(".")[0] in _KNOWN
