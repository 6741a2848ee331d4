"""Guess the roles, blocks and scale of an unknown network from one traced forward."""

from collections import Counter

from torch import nn

from ..errors import NetworkError
from .descriptor import Role
from .trace import Trace


def infer_roles(network: nn.Module, trace: Trace) -> dict[str, Role]:
    """Give every ``nn.Conv2d`` a role, in order of first execution.

    * SKIP: never executed, or seeing 1x1 features only (such as channel attention);
    * FIRST, LAST: the first and the last one executed, of the others;
    * UPSAMPLER: in some execution its output is enlarged by a pixel shuffle, or its input is larger
      than what the first convolution sees (the picture itself, or its resized or unshuffled copy);
    * BODY: the rest. Transposed convolutions have no role and stay in full precision.

    Raises:
        NetworkError: no convolution was executed.
    """
    calls = [call for call in trace.calls if call.input_size != (1, 1)]
    if not calls:
        name = type(network).__name__
        raise NetworkError(f"{name}: its forward runs no nn.Conv2d on a picture, so nothing can be quantized")
    first_height, first_width = calls[0].input_size
    at_work = {call.name for call in calls}
    roles: dict[str, Role] = {}
    for call in trace.calls:
        height, width = call.input_size
        if call.name not in at_work:
            roles[call.name] = Role.SKIP
        elif call.shuffled or height * width > first_height * first_width:
            roles[call.name] = Role.UPSAMPLER
        else:
            roles.setdefault(call.name, Role.BODY)
    roles[calls[0].name] = Role.FIRST
    roles[calls[-1].name] = Role.LAST
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            roles.setdefault(name, Role.SKIP)
    return roles


def infer_blocks(network: nn.Module, trace: Trace, roles: dict[str, Role]) -> tuple[str, ...]:
    """Return the names of the repeated blocks of the body.

    They are the children of the outermost ``ModuleList`` or ``Sequential`` in which at least two
    children of the same class hold BODY convolutions and return a tensor; of several at the same
    depth, the one with the most BODY convolutions. Without any: the BODY convolutions themselves.
    """
    body = [name for name, role in roles.items() if role is Role.BODY]

    def held(name: str) -> int:
        return sum(conv == name or conv.startswith(f"{name}.") for conv in body)

    best: tuple[str, ...] = ()
    best_rank: tuple[int, int] | None = None  # (depth, minus the BODY convolutions): the least wins
    for name, module in network.named_modules():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        prefix = f"{name}." if name else ""
        children = {prefix + child: type(m) for child, m in module.named_children()}
        children = {child: cls for child, cls in children.items() if child in trace.tensor_modules and held(child)}
        repeats = Counter(children.values())
        blocks = tuple(child for child, cls in children.items() if repeats[cls] >= 2)
        rank = (prefix.count("."), -sum(held(child) for child in blocks))
        if blocks and (best_rank is None or rank < best_rank):
            best, best_rank = blocks, rank
    return best or tuple(body)


def infer_scale(trace: Trace) -> int | None:
    """Return output side / input side, or None where it is not one positive integer."""
    vertical, horizontal = trace.factors
    return int(vertical) if vertical == horizontal and vertical >= 1 and vertical.is_integer() else None
