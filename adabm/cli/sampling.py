"""The options of ``adabm quantize`` that choose some of the pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .console import Console
from .options import whole

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from ..networks import NetworkDescriptor
    from ..recipes import QuantizationConfig

# Written out, because help does not wait for the modules that register them.
NAMES = ("random", "stratified", "extremes", "diverse", "kmeans", "hardest", "adaptive")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add ``--sampling`` and ``--pictures``."""
    parser.add_argument(
        "--sampling",
        metavar="NAME",
        help=f"choose --pictures of the pictures by this strategy (default: random): {', '.join(NAMES)}; adaptive finds how many, at most --pictures",
    )
    parser.add_argument(
        "--pictures", type=whole(1), metavar="N", help="how many pictures to calibrate on (default: all of them)"
    )


def check_sampling(args: argparse.Namespace) -> None:
    """Refuse, before any work, a strategy that is unknown, needs scenes or lacks ``--pictures``, and more pictures than there are."""
    from ..pictures.reading import list_images
    from ..sampling.registry import find

    if args.pictures is not None and args.pictures > (held := len(list_images(args.images))):
        raise ConfigError(f"--pictures {args.pictures}: {args.images} holds {held}")
    if args.sampling is None:
        return
    strategy = find(args.sampling)
    if args.sampling not in NAMES:
        raise ConfigError(
            f"--sampling {args.sampling}: the command does not know which scene a picture shows; use adabm.sampling.select in Python"
        )
    if args.pictures is None and not strategy.variable_size:
        raise ConfigError(f"--sampling {args.sampling}: say how many pictures to choose with --pictures N")


def choose(
    args: argparse.Namespace,
    console: Console,
    pictures: Mapping[str, np.ndarray],
    network: nn.Module,
    config: QuantizationConfig,
    descriptor: NetworkDescriptor,
) -> list[str]:
    """Return the names of the pictures to calibrate on, in order; all of them unless the options ask for a choice."""
    from ..sampling import Pool, select

    files = list(pictures)
    if args.sampling is None and args.pictures is None:
        return files
    count, name = args.pictures or len(files), args.sampling or "random"
    console.say(f"{len(files)} pictures to choose from by {name} ...")
    pool = Pool(
        list(pictures.values()),
        network,
        config=config,
        descriptor=descriptor,
        progress=partial(console.progress, lines=True),
    )
    return [files[index] for index in select(name, pool, count, args.seed)]
