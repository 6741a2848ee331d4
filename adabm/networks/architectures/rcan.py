"""RCAN of BasicSR.

Its reader stays beside spandrel, which does not recognize BasicSR's names of the tensors.
"""

from ...errors import CheckpointError
from ..architecture import Reader, register_basicsr
from ..conversion import Conversion, State, channels, depth, tensor, upsampler
from ..descriptor import Role
from ..layout import Layout

LAYOUT = Layout(
    (
        (r"body\..+\.attention\..+", Role.SKIP),
        (r"body\..+", Role.BODY),
        ("conv_after_body", Role.AFTER_BODY),
        (r"upsample\..+", Role.UPSAMPLER),
    )
)


def from_basicsr(state: State) -> Conversion:
    """RCAN; ``res_scale``, ``img_range`` and ``rgb_mean`` are left at BasicSR's defaults."""
    features, seen = tensor(state, "conv_first.weight", None, None, 3, 3).shape[:2]
    squeeze = "body.0.residual_group.0.rcab.3.attention.1.weight"
    squeezed = tensor(state, squeeze, None, features, 1, 1).shape[0]
    if features % squeezed:
        raise CheckpointError(f"{squeeze}: {features} features are not squeezed by a whole factor to {squeezed}")
    options = dict(
        channels(state, seen),
        num_feat=features,
        num_group=depth(state, r"body\.(\d+)\."),
        num_block=depth(state, r"body\.0\.residual_group\.(\d+)\."),
        squeeze_factor=features // squeezed,
    )
    return Conversion("RCAN", options | upsampler(state, features), dict(state))


register_basicsr(
    "RCAN",
    "archs.rcan_arch",
    __name__,
    LAYOUT,
    (Reader("basicsr-rcan", from_basicsr, ("body.0.residual_group.0.rcab.0.weight",), "RCAN of BasicSR"),),
)
