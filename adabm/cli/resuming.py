"""What ``adabm quantize`` keeps of an unfinished fine-tuning, so that ``--resume`` goes on with it."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AdabmError, FineTuningError, ProgressError
from .console import Console

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from ..networks import NetworkDescriptor
    from ..recipes import QuantizationConfig
    from ..steps import Progress


def partial_file(output: Path) -> Path:
    """The file beside an output that keeps its unfinished fine-tuning."""
    return output.with_name(f"{output.name}.partial")


def check_partial(args: argparse.Namespace) -> None:
    """Refuse, before any work, to drop what an interrupted run kept unless asked to.

    Raises:
        AdabmError: naming the file and the options.
    """
    partial = partial_file(args.output)
    if partial.exists() and not (args.resume or args.overwrite):
        raise AdabmError(
            f"{partial}: an interrupted run left it; add --resume to go on with it, or --overwrite to begin anew"
        )


@contextmanager
def resumable(
    args: argparse.Namespace,
    console: Console,
    network: nn.Module,
    descriptor: NetworkDescriptor,
    config: QuantizationConfig,
    images: Sequence[np.ndarray],
) -> Iterator[tuple[Progress | None, int]]:
    """Give where to keep the fine-tuning, if anywhere, and how many of its steps are kept; inside ``with``, carry it out and save.

    The file is removed at the end and where fine-tuning diverged, which it would do again. After Ctrl-C it stays.

    Raises:
        ProgressError: what is to be resumed is damaged or of something else, which is named.
    """
    from ..steps import Progress

    progress = Progress(partial_file(args.output), _belongings(args, network, descriptor, config, images))
    if not args.resume:
        progress.path.unlink(missing_ok=True)
    elif (told := config.recipe.nothing_kept) is not None:
        console.note(f"--resume: {told}; it begins anew")
    try:
        yield None if config.recipe.nothing_kept else progress, progress.check() or 0
    except ProgressError as error:
        raise ProgressError(f"{error}; give the options of the interrupted run, or remove the file") from None
    except FineTuningError:
        progress.path.unlink(missing_ok=True)
        raise
    except KeyboardInterrupt:
        if progress.path.exists():
            console.note(f"{progress.path}: keeps what was done; the same command with --resume goes on from there")
        raise
    progress.path.unlink(missing_ok=True)


def _belongings(
    args: argparse.Namespace,
    network: nn.Module,
    descriptor: NetworkDescriptor,
    config: QuantizationConfig,
    images: Sequence[np.ndarray],
) -> dict[str, str]:
    """All that the result depends on, by the name under which a difference is told."""
    import torch

    from .. import __version__
    from ..checkpoints.checkpoint import network_hash
    from ..networks.architecture import architecture_of
    from ..study.origin.fingerprint import NETWORKS, QUANTIZING, STEPS, code_hash

    pictures = hashlib.sha256()
    for image in images:
        pictures.update(f"{image.shape}".encode())
        pictures.update(image.tobytes())
    known = architecture_of(network)
    defining = [known.file] if known is not None and known.file is not None else []
    files = [str(file.resolve()) for file in (*config.recipe.files, *defining)]
    own = {"files of your own": code_hash(*files)} if files else {}  # with those that they import
    if any(getattr(step, "total_steps", 0) for step in config.recipe.steps):  # reading the package takes a second
        own["code of adabm"] = code_hash(*QUANTIZING, *STEPS, *NETWORKS)  # which a clone changes without the version
    return own | {
        "network": json.dumps([network_hash(network.state_dict()), descriptor.to_dict()]),
        "pictures": pictures.hexdigest(),
        "settings": json.dumps(config.to_dict()),
        "patches": f"{args.patch_size} {args.patches} {args.batch_size}",
        "seed": str(args.seed),
        "threads or device": f"{torch.get_num_threads()} {args.device}",
        "versions": f"{__version__} {torch.__version__}",
    }
