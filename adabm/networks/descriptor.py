"""What the quantizer needs to know of a super-resolution network."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum

from ..errors import ConfigError, NetworkError
from ..validation import annotations, check, shown
from .options import LARGEST_SCALE


class Role(str, Enum):
    """The part that a convolution, linear layer or product plays, which decides how it is quantized (paper section 4.1).

    ========== ======================= =============================
    role       body-only setting       fully quantized (FQ) setting
    ========== ======================= =============================
    FIRST      full precision          fixed bits (8/8)
    BODY       adaptive                adaptive
    FUSION     base bits               base bits (counted in the FAB)
    AFTER_BODY full precision          adaptive
    UPSAMPLER  full precision          fixed bits (8/8)
    LAST       full precision          fixed bits (8/8)
    SKIP       full precision          full precision
    ========== ======================= =============================

    AFTER_BODY is the convolution that closes the residual body of EDSR and SRResNet; the released
    code quantizes it in the FQ setting alone. SKIP is for what is not quantized, mostly since its cost is negligible,
    such as channel attention on globally pooled 1x1 features.
    """

    FIRST = "first"
    BODY = "body"
    FUSION = "fusion"
    AFTER_BODY = "after_body"
    UPSAMPLER = "upsampler"
    LAST = "last"
    SKIP = "skip"


_MOST = {
    "scale": LARGEST_SCALE,
    **dict.fromkeys(("channels", "size_multiple", "minimum_size", "output_channels"), 4096),
}
_USUAL = {"minimum_size": 1, "source": "", "output_channels": None, "unquantized": {}}


@dataclass(frozen=True)
class NetworkDescriptor:
    """All that callers ask of a network: identity, scale, pixels, roles of what multiplies, blocks.

    Attributes:
        name: class name of the network, e.g. ``"EDSR"``.
        scale: upsampling factor.
        value_range: largest pixel value of input and output, 1.0 or 255.0.
        roles: dotted name of every ``nn.Conv2d``, ``nn.Linear`` and product of two tensors -> its role, in execution order.
        blocks: dotted names of the modules whose outputs enter the structure loss.
        block_feature_size_normalized: divide each block's normalized output by its C*H*W in the
            structure loss, as the released RDN does (which makes the term negligible there).
        options: constructor arguments, empty if unknown; with them a checkpoint rebuilds the network.
        channels: of the input.
        size_multiple: the sides of the input must be multiples of it.
        minimum_size: the sides of the input must not be less, in pixels.
        source: ``"spandrel"`` where that library recognizes the network by its tensors, which rebuild it without options.
        output_channels: None for as many as ``channels``.
        unquantized: dotted names of modules that multiply by weights of their own and have no role, such as transposed
            convolutions, with the names of their classes; they stay in full precision.
    """

    name: str
    scale: int
    value_range: float
    roles: Mapping[str, Role]
    blocks: tuple[str, ...]
    block_feature_size_normalized: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    channels: int = 3
    size_multiple: int = 1
    minimum_size: int = 1
    source: str = ""
    output_channels: int | None = None
    unquantized: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, kind in annotations(type(self)).items():
            try:
                object.__setattr__(self, what, check(what, getattr(self, what), kind))
            except ConfigError as error:
                raise NetworkError(f"the descriptor of {shown(self.name)}: {error}") from None
        if self.scale < 1:
            raise NetworkError(f"{self.name}: scale {self.scale} is not a positive integer")
        for what in ("channels", "size_multiple", "minimum_size"):
            if (number := getattr(self, what)) < 1:
                raise NetworkError(f"{self.name}: {what} {number} is not a positive integer")
        if self.output_channels is not None and self.output_channels < 1:
            raise NetworkError(f"{self.name}: output_channels {self.output_channels} is not a positive integer")
        for what, most in _MOST.items():
            if (number := getattr(self, what) or 0) > most:
                raise NetworkError(f"{self.name}: {what} {number} is more than {most}")
        if self.value_range not in (1.0, 255.0):
            raise NetworkError(f"{self.name}: value_range {self.value_range} is neither 1.0 nor 255.0")
        if not any(role is Role.BODY for role in self.roles.values()):
            raise NetworkError(f"{self.name}: no convolution has the role 'body', so nothing could adapt")

    def to_dict(self) -> dict[str, object]:
        """Return the attributes as JSON holds them; :func:`adabm.networks.describe.restore_descriptor` reads them."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, usual in _USUAL.items():  # left out, so that files of most networks stay as they were
            if plain[name] == usual:
                del plain[name]
        roles = {name: role.value for name, role in self.roles.items()}
        if "unquantized" in plain:
            plain["unquantized"] = dict(self.unquantized)
        return plain | {"roles": roles, "blocks": list(self.blocks), "options": dict(self.options)}

    @property
    def title(self) -> str:
        """The name, with the library that knows the architecture where two networks could be meant."""
        return f"{self.name} ({self.source})" if self.source else self.name

    def summary(self) -> str:
        """Return the roles as text for the user to check."""
        lines = [f"{self.title}: x{self.scale}, pixel values 0 to {self.value_range:g}, {len(self.blocks)} blocks"]
        if self.size_multiple > 1 or self.minimum_size > 1:
            lines.append(
                f"  sides of the input: multiples of {self.size_multiple}, at least {self.minimum_size} pixels"
            )
        for role in Role:
            names = [name for name, r in self.roles.items() if r is role]
            if names:
                lines.append(f"  {role.value:<10} {len(names):>4}  {_shown(names)}")
        for kind, count in Counter(self.unquantized.values()).items():
            names = [name for name, found in self.unquantized.items() if found == kind]
            lines.append(f"  in full precision: {count} {kind} ({_shown(names)})")
        return "\n".join(lines)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f", ... {names[-1]}" if len(names) > 4 else "")
