"""RRDBNet of BasicSR, ESRGAN's generator, and weights for it by BasicSR and by xinntao/ESRGAN.

Its readers stay beside spandrel, which refuses another growth than 32 and builds a class with other names of layers, under
which the published files and tables could not be found again.
"""

import re

from ...errors import CheckpointError
from ..architecture import Reader, register_basicsr
from ..conversion import Conversion, State, depth, tensor
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(
    ((r"body\..+", Role.BODY), ("conv_body", Role.AFTER_BODY), ("conv_up[12]|conv_hr", Role.UPSAMPLER)),
    size_multiples={1: 4, 2: 2},  # there it unshuffles its input
)


def from_esrgan(state: State) -> Conversion:
    """RRDBNet under the names of github.com/xinntao/ESRGAN (``RRDB_trunk.0.RDB1.conv1``), x4.

    Raises:
        CheckpointError: not an RRDBNet.
    """
    renames = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
    converted = {}
    for name, value in state.items():
        module, _, part = name.rpartition(".")
        module = re.sub(r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2.", module)
        converted[f"{renames.get(module, module)}.{part}"] = value
    return Conversion("RRDBNet", _options(converted), converted)


def from_basicsr(state: State) -> Conversion:
    """RRDBNet, ESRGAN's generator under BasicSR's names."""
    return Conversion("RRDBNet", _options(state), dict(state))


def _options(state: State) -> dict[str, object]:
    """Deduce the options of BasicSR's RRDBNet from its tensors."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    channels = tensor(state, "conv_last.weight", None, features, 3, 3).shape[0]
    unshuffled = {1: 4, 4: 2, 16: 1}.get(seen // channels)  # BasicSR's x2 and x1 fold pixels into channels first
    if unshuffled is None or seen % channels:
        raise CheckpointError(f"conv_first takes {seen} channels and conv_last makes {channels}: no scale fits")
    return dict(
        num_in_ch=channels,
        num_out_ch=channels,
        scale=unshuffled,
        num_feat=features,
        num_block=depth(state, r"body\.(\d+)\."),
        num_grow_ch=tensor(state, "body.0.rdb1.conv1.weight", None, features, 3, 3).shape[0],
    )


register_basicsr(
    "RRDBNet",
    "archs.rrdbnet_arch",
    __name__,
    LAYOUT,
    (
        Reader(
            "rrdbnet-esrgan",
            from_esrgan,
            ("RRDB_trunk.0.RDB1.conv1.weight",),
            "RRDBNet under the names of xinntao/ESRGAN",
        ),
        Reader("basicsr-rrdbnet", from_basicsr, ("body.0.rdb1.conv1.weight",), "RRDBNet of BasicSR"),
    ),
)
