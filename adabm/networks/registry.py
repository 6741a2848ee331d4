"""Build networks by name, load weights into them, and save them to files that describe themselves."""

import inspect
import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Annotated

import torch
from torch import nn

from ..errors import CheckpointError, NetworkError
from ..support.files import write_atomically
from ..support.metadata import NETWORK_FORMAT, content_sha256
from ..support.serialization import check_ending, safetensors_bytes
from ..validation import File, check_all, shown
from .architecture import architecture_of, known_architectures
from .community import SOURCE, facts_of, rebuildable
from .folding import fold_reparameterized
from .limits import no_larger_than
from .options import check_options, plain
from .usable import check_finite_weights, check_network

# Some BasicSR networks demand these two; all of ours and the other BasicSR ones have these defaults.
_Options = Annotated[Mapping[str, object] | None, "arguments of the network's constructor by name, or null"]
_DEFAULTS = {"num_in_ch": 3, "num_out_ch": 3}


def known_networks() -> tuple[str, ...]:
    """Return the names that :func:`build_network` takes, in alphabetical order."""
    return tuple(known_architectures())


def build_network(name: str, /, **options: object) -> nn.Module:
    """Build a network with random weights, in training mode.

    Args:
        name: of an architecture, see :func:`known_networks`.
        options: arguments of the network's constructor; ``num_in_ch`` and ``num_out_ch`` are 3
            unless given, others have the constructor's default, if any.

    Returns:
        The network. Its attribute ``adabm_options`` holds all options, defaults included,
        tuples as lists (as JSON returns them) and NumPy's numbers as Python's, so that a checkpoint can rebuild it.

    Raises:
        NetworkError: unknown name, unknown or missing option, a value the network refuses or cannot use, or a network larger
            than :mod:`adabm.networks.limits` allows.

    >>> network = build_network("EDSR", num_feat=16, num_block=4, upscale=2)
    """
    cls = _network_class(name)
    options = {option: plain(value) for option, value in options.items()}
    parameters = inspect.signature(cls).parameters
    for option in options:
        if option not in parameters:
            raise NetworkError(f"{name} has no option {option!r}; its options are {', '.join(parameters)}")
    complete = {p.name: _DEFAULTS.get(p.name, p.default) for p in parameters.values()} | options
    missing = [option for option, value in complete.items() if value is inspect.Parameter.empty]
    if missing:
        raise NetworkError(f"{name} needs a value for {', '.join(missing)}")
    check_options(name, options, {p.name: _DEFAULTS.get(p.name, p.default) for p in parameters.values()})
    try:
        with no_larger_than():
            network = cls(**complete)
    except NetworkError:
        raise
    except Exception as error:  # whatever foreign code does on a bad value, e.g. an AttributeError
        told = (str(error).splitlines() or [""])[0][:300]  # torch may add a whole trace
        raise NetworkError(f"{name} cannot be built with {shown(complete)}: {type(error).__name__}: {told}") from error
    for option, value in complete.items():
        if not _of_its_kind(value, parameters[option].default):
            raise NetworkError(f"{name}: option {option} = {value!r} must be like {parameters[option].default!r}")
    network.adabm_options = {k: list(v) if isinstance(v, tuple) else v for k, v in complete.items()}
    return network


def load_weights(network: nn.Module, tensors: Mapping[str, torch.Tensor], misfit: str, path: Path) -> None:
    """Load ``tensors``, read from ``path``, into ``network``: all of them, each of the right shape and finite.

    Raises:
        CheckpointError: otherwise; where names or shapes are wrong it begins with ``misfit``.
    """
    misfits = _misfits(network.state_dict(), tensors)
    if misfits:
        shown = "; ".join(misfits[:4]) + (f"; and {len(misfits) - 4} more" if len(misfits) > 4 else "")
        raise CheckpointError(f"{misfit}: {shown}")
    check_finite(tensors, path)
    network.load_state_dict(tensors, strict=True)


def check_finite(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise :class:`CheckpointError` if a tensor that was read from ``path`` holds NaN or infinite values."""
    spoilt = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoilt:
        raise CheckpointError(f"{path}: {spoilt[0]} holds NaN or infinite values; get or export it again")


def save_network(
    network: nn.Module, path: str | Path, options: Mapping[str, object] | None = None, *, digest: bool = True
) -> None:
    """Write a network as :func:`adabm.networks.saving.save_network` does, which see, without trying out what comes back.

    Raises:
        NetworkError: a network that cannot be rebuilt from such a file.
        ConfigError: a name that does not end in .safetensors.
    """
    check_network(network)
    check_finite_weights(network)
    check_all(path=(path, File), options=(options, _Options), digest=(digest, bool))
    check_ending(path)
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in network.state_dict().items()}
    facts = facts_of(network)
    if facts is None:
        metadata = _identity(network, options)
    else:
        left_out = rebuildable(network, tensors)
        tensors = {key: value for key, value in tensors.items() if key not in left_out}
        metadata = {"network": facts.name, "recognized_by": SOURCE, "scale": str(facts.scale)}
        metadata["left_out"] = json.dumps(left_out)
    if digest:
        metadata["format"] = NETWORK_FORMAT
        metadata["sha256"] = content_sha256(tensors, metadata)
    write_atomically(path, safetensors_bytes(tensors, metadata))


def _identity(network: nn.Module, options: Mapping[str, object] | None) -> dict[str, str]:
    """Return the metadata by which a file's network is built again by its name."""
    known, cls = architecture_of(network), type(network).__name__
    if known is None:
        raise NetworkError(
            f"this class {cls} is not registered, so a file could not rebuild it; put it into a Python file, decorated with "
            "adabm.networks.register_architecture, and import that file"
        )
    if options is not None:
        with torch.random.fork_rng(devices=[]):
            built = fold_reparameterized(build_network(known.name, **options))
        if misfits := _misfits(built.state_dict(), network.state_dict()):
            raise NetworkError(f"{cls} was not built with {dict(options)}: {misfits[0]}")
        options = built.adabm_options
    else:
        options = getattr(network, "adabm_options", None)
    if options is None:
        raise NetworkError(
            f"{cls} was not built by build_network, so its options are unknown; give them: "
            "save_network(network, path, {argument of the constructor: value, ...}), {} where it has none"
        )
    metadata = {"network": known.name, "options": json.dumps(options)}
    if known.file is not None:
        metadata["defined_in"] = known.file.name
    return metadata


def registered_name(network: nn.Module) -> str | None:
    """Return the name under which exactly this class can be built, or None."""
    known = architecture_of(network)
    return known.name if known is not None else None


def _of_its_kind(value: object, default: object) -> bool:
    """Whether an option may replace its default; constructors keep whatever they get, and the network fails later."""
    if isinstance(default, bool | str):
        return isinstance(value, type(default))
    if isinstance(default, int | float):
        numbers = value if isinstance(value, list | tuple) else [value]
        return all(isinstance(n, Real) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple) and all(_of_its_kind(v, d) for v, d in zip(value, default))
    return True


def _network_class(name: str) -> type[nn.Module]:
    known = known_architectures()
    if not isinstance(name, str) or name not in known:
        raise NetworkError(f"unknown network {shown(name)}; known are {', '.join(known)}")
    return known[name].network_class


def _misfits(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    misfits = [f"{key} is missing" for key in expected if key not in found]
    misfits += [f"{key} is not part of the network" for key in found if key not in expected]
    misfits += [
        f"{key} has shape {tuple(found[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    return misfits
