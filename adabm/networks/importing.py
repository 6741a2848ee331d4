"""Import weights of other implementations and other file formats."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..errors import CheckpointError, NetworkError
from ..support.surroundings import as_usual
from ..validation import File, check
from .architecture import known_readers
from .community import SOURCE, community_architectures, recognize
from .conversion import State
from .limits import no_larger_than
from .mxnet_params import LIST_MAGIC, read_mxnet_params
from .raw_tensors import read_raw_tensors
from .registry import build_network, check_finite, load_weights

_CONTAINERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")
_PREFERRED = {"params_ema", "params-ema", "params"}  # BasicSR's, of which the first has precedence
_MOST_UNPACKED = 100  # times the size of the file
_PACKED = {getattr(torch, "float4_e2m1fn_x2", None)}  # two numbers a byte, which torch turns into no other type
_PREFIXES = ("module.", "netG.")  # of nn.DataParallel and of BSRGAN's training code


def import_kinds() -> tuple[str, ...]:
    """Return the kinds of weights that :func:`import_weights` takes."""
    return (*known_readers(), SOURCE)


@as_usual
def import_weights(path: str | Path, kind: str | None = None, **options: object) -> nn.Module:
    """Build a network from weights that another implementation trained.

    Each kind is a reader that an architecture registers, such as ``edsr-pytorch`` or ``basicsr-rrdbnet``;
    ``adabm import --help`` lists them with what they read. What no reader knows is of the kind ``spandrel``: the
    library of that name recognizes its architectures, such as SwinIR, DAT or HAT, by their tensors.

    Args:
        path: a PyTorch state dict (possibly under ``params_ema``, ``params`` or ``state_dict``, in this
            order of preference; read without running pickled code), a safetensors or MXNet .params file,
            or a folder of raw tensors (see :func:`read_raw_tensors`). Weights of the same network under another
            name beside them, such as averaged ones, are refused, but ``params`` beside ``params_ema``: a warning tells.
        kind: one of :func:`import_kinds`; guessed from the tensors' names if None.
        options: constructor arguments that take precedence over what the tensors' shapes tell, such as
            ``res_scale`` or ``img_range``.

    Returns:
        The network in float32 on the CPU, in evaluation mode, ready for :func:`save_network`; torch's random
        state is left as it was.

    Raises:
        CheckpointError: unreadable, of no known kind, or not fitting the network it should be.
    """
    path = Path(check("path", path, File))
    check("kind", kind, str | None)
    readers = known_readers()
    if kind not in (None, *import_kinds()):
        raise CheckpointError(f"unknown kind {kind!r}; known are {', '.join(import_kinds())}")
    state = read_state(path)
    kind = kind or _guess(path, state)
    if kind == SOURCE:
        return _recognized(path, state, options)
    try:
        conversion = readers[kind].convert(state)
        missing = [option for option in conversion.undecided if option not in options]
        if missing:
            raise CheckpointError(f"no tensor tells {missing[0]} of {conversion.network}; give it as an option")
        with torch.random.fork_rng(devices=[]), no_larger_than(conversion.state):
            network = build_network(conversion.network, **(conversion.options | options))
    except (CheckpointError, NetworkError) as error:
        raise CheckpointError(f"{path}: not of kind {kind}: {error}") from None
    load_weights(network, conversion.state, f"{path}: not of kind {kind}: does not fit {conversion.network}", path)
    return network.eval()


def _recognized(path: Path, state: State, options: dict[str, object]) -> nn.Module:
    try:
        network = recognize(state)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if network is None:
        raise CheckpointError(
            f"{path}: its tensors ({next(iter(state))}, ...) are of no known architecture. Known are those of the kinds "
            f"{', '.join(known_readers())} and, of {SOURCE}, {', '.join(community_architectures())}; another one is added "
            "by adabm.networks.register_architecture, with a Reader of such files"
        )
    if options:
        raise CheckpointError(
            f"{path}: {network.adabm_facts.name} takes no options: {SOURCE} reads them off the tensors, and takes those of its published "
            "networks that no tensor tells"
        )
    check_finite(state, path)
    return network


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of any format that :func:`import_weights` takes; floats become float32.

    Raises:
        CheckpointError: missing, damaged, or something else than named tensors.
    """
    if path.is_dir():
        found: object = read_raw_tensors(path)
    elif not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    else:
        try:
            with path.open("rb") as file:
                head = file.read(len(LIST_MAGIC))
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
        if head == LIST_MAGIC:
            found = read_mxnet_params(path)
        else:
            found = _unwrap(path, _load(path))
    odd = next((name for name, value in found.items() if isinstance(value, Tensor) and not _plain(name, value)), None)
    if odd is not None:
        kind = f"{found[odd].layout}, {found[odd].dtype}".replace("torch.", "")
        raise CheckpointError(
            f"{path}: {odd} is no plain tensor of real numbers ({kind}); export floating-point weights"
        )
    return {name: _float32(value) for name, value in found.items()}


def _plain(name: str, value: Tensor) -> bool:
    """Whether a tensor can be taken as it is: dense and there, not complex or quantized, a weight in floating point."""
    stored = value.layout == torch.strided and not value.is_meta and not value.is_quantized and not value.is_complex()
    stored = stored and value.dtype not in _PACKED
    return stored and (value.is_floating_point() or name.rpartition(".")[2] not in ("weight", "bias"))


def _load(path: Path) -> object:
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if "network" in metadata or "adabm" in metadata:  # a guess must not replace what it says of itself
                    raise CheckpointError(f"{path}: was written by adabm already; use it as it is")
                return {name: file.get_tensor(name) for name in file.keys()}
        if zipfile.is_zipfile(path):  # torch does not compare the sums of what is in it
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(part.file_size for part in archive.infolist())
                if unpacked > _MOST_UNPACKED * path.stat().st_size:  # torch does not compress
                    raise CheckpointError(f"{path}: would unpack to {unpacked:,} bytes; it holds no weights")
                if (member := archive.testzip()) is not None:
                    raise CheckpointError(f"{path}: damaged ({member} does not match its checksum); get it again")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # whatever reading a damaged file or one of another format raises
        # torch's own message recommends to load without weights_only, which would run any code in the file
        raise CheckpointError(
            f"{path}: damaged, or no PyTorch state dict, safetensors or MXNet file ({type(error).__name__}); "
            "of a whole pickled model, save its state_dict() first: code in a file is never run"
        ) from None


def _unwrap(path: Path, found: object) -> dict[str, Tensor]:
    """Return the state dict inside what training code saves around it."""
    for key in _CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            _check_alone(path, key, found)
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path}: holds no named tensors but a {type(found).__name__}")
    foreign_entry = next((name for name, value in found.items() if not isinstance(value, Tensor)), None)
    if foreign_entry is not None:
        raise CheckpointError(f"{path}: its entry {foreign_entry!r} is no tensor, so this is not a state dict")
    return _without_prefix({str(name): value for name, value in found.items()})


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _check_alone(path: Path, taken: str, parts: Mapping[object, object]) -> None:
    """Refuse a file that holds other weights of the same network beside those that would be taken, such as averaged ones.

    Of ``params`` beside ``params_ema`` a warning tells which are taken: the averaged ones, which are meant.
    """
    own = _tensors(parts[taken])
    for name, part in parts.items():
        if name == taken or not own:
            continue
        other = _tensors(part)
        alike = own.keys() <= other.keys() and all(own[key].shape == other[key].shape for key in own)
        if not alike or all(_equal(own[key], other[key]) for key in own):
            continue
        if {name, taken} <= _PREFERRED:
            warnings.warn(f"{path}: holds weights {taken!r} and {name!r}; those of {taken!r} are taken", stacklevel=2)
        else:
            raise CheckpointError(
                f"{path}: holds two sets of weights of one network, {taken!r} and {name!r}; save the one that is meant alone: "
                f"torch.save(torch.load({path.name!r})[{name!r}], ...)"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    try:
        return one.dtype == other.dtype and one.equal(other)
    except (RuntimeError, NotImplementedError):  # of tensors that are not there, or of an odd layout
        return False


def _tensors(part: object) -> dict[str, Tensor]:
    """The tensors in a part of a file by name, without what the name of a wrapper puts before them."""
    if not isinstance(part, Mapping):
        return {}
    named = {str(name): value for name, value in part.items() if isinstance(value, Tensor)}
    wrapped = {name: value for name, value in named.items() if name.startswith(_PREFIXES)}
    return _without_prefix(wrapped or named)  # an averaged model counts what it averaged beside its module


def _float32(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.array(value, np.float32))  # a copy: arrays over a file's bytes are read-only
    return value.detach().float() if value.is_floating_point() else value.detach()


def _guess(path: Path, state: State) -> str:
    readers = known_readers()
    kinds = [kind for kind, reader in readers.items() if all(tensor in state for tensor in reader.signature)]
    if len(kinds) > 1:
        raise CheckpointError(f"{path}: fits the kinds {', '.join(kinds)}; name one of them")
    return kinds[0] if kinds else SOURCE
