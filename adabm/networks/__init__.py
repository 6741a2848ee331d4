"""Super-resolution networks, and what the quantizer needs to know of them."""

from .describe import describe
from .descriptor import NetworkDescriptor, Role
from .folding import fold_reparameterized
from .importing import IMPORT_KINDS, import_weights
from .rdn import RDN
from .registry import build_network, load_network, registered_name, save_network
from .srresnet import SRResNet

__all__ = [
    "IMPORT_KINDS",
    "RDN",
    "NetworkDescriptor",
    "Role",
    "SRResNet",
    "build_network",
    "describe",
    "fold_reparameterized",
    "import_weights",
    "load_network",
    "registered_name",
    "save_network",
]
