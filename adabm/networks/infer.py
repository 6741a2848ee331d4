"""Guess the roles, blocks and scale of an unknown network from one traced forward."""

from collections import Counter

from torch import nn

from ..errors import NetworkError
from .descriptor import Role
from .trace import LAYERS, Call, Trace

# Times the places of the first layer. Padding and windows that overlap add some, at most those of a picture of SIDE pixels
# with 6 pixels around it; enlarging by 2 has four times as many, in two steps to 3 it has three times as many.
_ENLARGED = {"convolution": 2, "linear": 4}


def infer_roles(network: nn.Module, trace: Trace) -> dict[str, Role]:
    """Give every ``nn.Conv2d``, ``nn.Linear`` and product of two tensors a role, in order of first execution.

    * SKIP: never executed; seeing 1x1 features only (such as channel attention); 1x1 convolutions of the picture that only
      scale and shift its colours (such as EDSR's and RCAN's mean shift);
      what does not work on the picture (such as on positions) or where the images of a batch cannot be told apart, in
      any of its executions;
    * FIRST, LAST: the first and the last layer executed, of the others;
    * UPSAMPLER: in some execution its output is enlarged by a pixel shuffle, or its input is larger, by more than
      padding, than what the first layer sees (the picture itself, or its resized or unshuffled copy);
    * BODY: the rest. Transposed convolutions have no role and stay in full precision.

    Raises:
        NetworkError: no layer was executed.
    """
    kept = {call.name for call in trace.calls if call.constant or not call.image_major}
    kept |= {name for name, module in network.named_modules() if _shifts_colours(module)}
    at_work = [call for call in trace.calls if _works(call) and call.name not in kept]
    layers = [call for call in at_work if call.kind in LAYERS]
    if not layers:
        raise NetworkError(
            f"{type(network).__name__}: its forward runs no nn.Conv2d and no nn.Linear on a picture, so nothing can be quantized"
        )
    first_area = _area(layers[0])
    names_at_work = {call.name for call in at_work}
    roles: dict[str, Role] = {}
    for call in trace.calls:
        larger = call.kind in _ENLARGED and _area(call) >= _ENLARGED[call.kind] * first_area
        if call.name not in names_at_work:
            roles[call.name] = Role.SKIP
        elif call.shuffled or larger:
            roles[call.name] = Role.UPSAMPLER
        else:
            roles.setdefault(call.name, Role.BODY)
    roles[layers[0].name] = Role.FIRST
    roles[layers[-1].name] = Role.LAST
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            roles.setdefault(name, Role.SKIP)
    return roles


def infer_blocks(network: nn.Module, trace: Trace, roles: dict[str, Role]) -> tuple[str, ...]:
    """Return the names of the repeated blocks of the body.

    They are the children of a ``ModuleList`` or ``Sequential`` in which at least two children of the same class hold
    BODY layers and return a tensor: the outermost one in which they hold half of the body, else the outermost of
    all; of several at the same depth, the one with the most BODY layers. Without any: the BODY layers themselves.
    """
    modules = dict(network.named_modules())
    body = [name for name, role in roles.items() if role is Role.BODY]

    def held(name: str) -> int:
        return sum(layer == name or layer.startswith(f"{name}.") for layer in body)

    best: tuple[str, ...] = ()
    best_rank: tuple[bool, int, int] | None = None  # (less than half, depth, minus the BODY layers): the least wins
    for name, module in modules.items():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        prefix = f"{name}." if name else ""
        children = {prefix + child: type(m) for child, m in module.named_children()}
        children = {child: cls for child, cls in children.items() if child in trace.tensor_modules and held(child)}
        repeats = Counter(children.values())
        blocks = tuple(child for child, cls in children.items() if repeats[cls] >= 2)
        layers = sum(held(child) for child in blocks)
        rank = (2 * layers < len(body), prefix.count("."), -layers)
        if blocks and (best_rank is None or rank < best_rank):
            best, best_rank = blocks, rank
    return best or tuple(name for name in body if name in modules)


def infer_scale(trace: Trace) -> int | None:
    """Return output side / input side, or None where it is not one positive integer."""
    vertical, horizontal = trace.factors
    return int(vertical) if vertical == horizontal and vertical >= 1 and vertical.is_integer() else None


def _works(call: Call) -> bool:
    """Whether the call computes something at several places of the picture."""
    return call.kind not in LAYERS or call.positions != (1, 1)


def _shifts_colours(module: nn.Module) -> bool:
    """Whether this is a 1x1 convolution of at most four channels that does not mix them."""
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1) or module.in_channels > 4:
        return False
    weight = module.weight.detach()[:, :, 0, 0]
    return (
        module.in_channels == module.out_channels > 1
        and module.groups == 1
        and bool((weight == weight.diag().diag()).all())
    )


def _area(call: Call) -> int:
    height, width = call.positions
    return height * width
