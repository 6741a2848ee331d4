"""Super-resolution networks, and what the quantizer needs to know of them."""

from .architecture import Architecture, Reader, known_architectures, load_architectures, register_architecture
from .architectures.rdn import RDN
from .architectures.srresnet import SRResNet
from .conversion import Conversion
from .describe import describe
from .descriptor import NetworkDescriptor, Role
from .folding import fold_reparameterized
from .importing import import_kinds, import_weights
from .layout import Layout
from .loading import load_network
from .registry import build_network, known_networks, registered_name
from .saving import save_network

__all__ = [
    "RDN",
    "Architecture",
    "Conversion",
    "Layout",
    "NetworkDescriptor",
    "Reader",
    "Role",
    "SRResNet",
    "build_network",
    "describe",
    "fold_reparameterized",
    "import_kinds",
    "import_weights",
    "known_architectures",
    "known_networks",
    "load_architectures",
    "load_network",
    "register_architecture",
    "registered_name",
    "save_network",
]


def __getattr__(name: str) -> tuple[str, ...]:
    """``IMPORT_KINDS``, the former name of what :func:`import_kinds` returns."""
    if name == "IMPORT_KINDS":
        return import_kinds()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
