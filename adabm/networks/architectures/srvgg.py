"""SRVGGNetCompact of BasicSR, the small network of Real-ESRGAN.

Its reader stays beside spandrel, which does not recognize the files without PReLU.
"""

from collections.abc import Mapping

from ...errors import CheckpointError
from ..architecture import Reader, register_basicsr
from ..conversion import Conversion, State, depth, tensor
from ..descriptor import Role
from ..layout import Layout


def _blocks(roles: Mapping[str, Role]) -> tuple[str, ...]:
    """A plain chain: the activation that follows each convolution of the body."""
    body = [name for name, role in roles.items() if role is Role.BODY]
    return tuple(f"body.{int(name.split('.')[1]) + 1}" for name in body)


LAYOUT = Layout(((r"body\.\d+", Role.BODY),), blocks=_blocks)


def from_basicsr(state: State) -> Conversion:
    """SRVGGNetCompact, such as Real-ESRGAN's ``realesr-general-x4v3.pth``.

    Without PReLU ``act_type`` is undecided: relu and leakyrelu have no tensors.
    """
    features, seen = tensor(state, "body.0.weight", None, None, 3, 3).shape[:2]
    with_slopes = "body.1.weight" in state
    last = depth(state, r"body\.(\d+)\.", step=1 if with_slopes else 2) - 1
    out = tensor(state, f"body.{last}.weight", None, features, 3, 3).shape[0]
    upscale = round((out / seen) ** 0.5)
    if seen * upscale**2 != out or last % 2:
        raise CheckpointError(f"body.{last} makes {out} channels: no scale fits {seen} channels of pictures")
    options = dict(num_in_ch=seen, num_out_ch=seen, num_feat=features, num_conv=last // 2 - 1, upscale=upscale)
    if with_slopes:
        return Conversion("SRVGGNetCompact", options | {"act_type": "prelu"}, dict(state))
    return Conversion("SRVGGNetCompact", options, dict(state), undecided=("act_type",))


register_basicsr(
    "SRVGGNetCompact",
    "archs.srvgg_arch",
    __name__,
    LAYOUT,
    (Reader("basicsr-srvgg", from_basicsr, ("body.0.weight", "body.2.weight"), "SRVGGNetCompact of BasicSR"),),
)
