"""Convert downloaded weights of other implementations to the safetensors files that the study loads."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from adabm.errors import AdabmError, DataError
from adabm.networks import import_weights, save_network

from ..downloads.sources import read_sources


@dataclass(frozen=True)
class DownloadedWeights:
    """Where weights lie: the entry of ``data/sources.yaml``, the path in its folder, their kind."""

    source: str
    path: str
    kind: str


WEIGHTS = {
    "edsr_f64b8_x2": DownloadedWeights("EDSR_f64b8_x2_mxnet", "EDSR-8-x2-0000.params", "edsr-krasserm"),
    "srresnet_bn_x4": DownloadedWeights("SRResNet_x4_mxnet", "SRResNet_4x-0000.params", "srresnet-tutorial"),
    "rrdbnet_psnr_x4": DownloadedWeights("RRDBNet_PSNR_x4_tensors", "", "rrdbnet-esrgan"),
    "edsr_baseline_x2": DownloadedWeights("EDSR_baseline_x2", "edsr_baseline_x2-1bc95232.pt", "edsr-pytorch"),
    "edsr_baseline_x4": DownloadedWeights("EDSR_baseline_x4", "edsr_baseline_x4-6b446fab.pt", "edsr-pytorch"),
}


def location(name: str, downloads: Path) -> Path:
    """Return where the file or folder of ``name`` lies in a download folder or a mirror."""
    return downloads / read_sources()[WEIGHTS[name].source].folder / WEIGHTS[name].path


def convert(name: str, downloads: Path, output: Path) -> Path:
    """Write ``<output>/<name>.safetensors`` from a download folder or a mirror; return its path.

    Raises:
        DataError: the source was not downloaded.
        CheckpointError: it is damaged or something else.
    """
    source = location(name, downloads)
    if not source.exists():
        raise DataError(f"{source}: not there; run `python -m pipelines.downloads.fetch {WEIGHTS[name].source}` first")
    target = output / f"{name}.safetensors"
    save_network(import_weights(source, WEIGHTS[name].kind), target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="+", metavar="NAME", choices=WEIGHTS, help=", ".join(WEIGHTS))
    parser.add_argument(
        "--downloads",
        type=Path,
        default=Path("data/downloads"),
        help="what pipelines.downloads.fetch wrote, or a mirror",
    )
    parser.add_argument("--output", type=Path, default=Path("data/prepared/weights"), help="folder to write to")
    args = parser.parse_args()
    try:
        for name in args.names:
            print(convert(name, args.downloads, args.output), flush=True)
    except (AdabmError, OSError) as error:
        print(f"weights: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
