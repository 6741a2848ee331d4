"""What AdaBM sees and decides in one calibration: complexities, sensitivities, bits."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from ...engines.evaluation import Picture
from ...engines.metrics import psnr_y
from ...engines.tiles import round_to_uint8, upscale
from ...pictures.patches import to_batch
from ...quantization.model import QuantizedSR
from ...steps import CalibrationRecord, TuningStep
from ..pages import comparison as figures
from ..tables.conclusion import answer
from ..tables.wording import several
from ..tables.writing import layer_table

FULL_PRECISION = "full precision"
_NAMED = 5  # layers; more are counted


def step_table(steps: Sequence[TuningStep]) -> pd.DataFrame:
    """Return one row a step of fine-tuning."""
    return pd.DataFrame([vars(step) for step in steps])


def losses_by_round(steps: pd.DataFrame) -> pd.DataFrame:
    """Return the mean losses and bits of each round, from :func:`step_table`."""
    columns = ["pixel", "structure", "bit", "feature_average_bits"]
    return steps.groupby(["round", "group"], as_index=False)[columns].mean().round(3)


def picture_table(model: QuantizedSR, pictures: Sequence[Picture]) -> pd.DataFrame:
    """Return complexity and bit factor of whole pictures: a row a picture."""
    with torch.no_grad():
        value_range = model.descriptor.value_range
        complexities = {p.name: float(model.complexity(to_batch([p.low], value_range))) for p in pictures}
        factors = {name: int(model.image2bit(torch.tensor([c]))) for name, c in complexities.items()}
    return pd.DataFrame({"complexity": complexities, "image factor": factors}).rename_axis("picture")


def thresholds(model: QuantizedSR) -> tuple[float, float]:
    """Return the complexities below and above which a patch gets a bit fewer or more."""
    return model.image2bit.lower.item(), model.image2bit.upper.item()


def tables(model: QuantizedSR, record: CalibrationRecord, steps: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables by name: a row a layer, a calibration patch, a step."""
    complexity = record.complexities.numpy().round(3)
    return {
        "calibration_layers": layer_table(model, record),
        "calibration_patches": pd.DataFrame(dict(patch=range(len(complexity)), complexity=complexity)),
        "calibration_steps": steps.round(4),
    }


def before_and_after(model: QuantizedSR, plain: QuantizedSR, picture: Picture) -> dict[str, np.ndarray]:
    """Upscale a picture in full precision, with MinMax (``plain``) and with AdaBM: (H, W, 3) of 8 bits each, by name."""
    with model.full_precision():
        outputs = {FULL_PRECISION: round_to_uint8(upscale(model, picture.low).image)}
    outputs["MinMax"] = round_to_uint8(upscale(plain, picture.low).image)
    outputs["AdaBM"] = round_to_uint8(upscale(model, picture.low).image)
    return outputs


def qualities(outputs: Mapping[str, np.ndarray], picture: Picture) -> dict[str, float]:
    """Return the PSNR on Y of outputs in dB."""
    return {name: psnr_y(output, picture.high, picture.scale) for name, output in outputs.items()}


def plot_before_and_after(
    outputs: Mapping[str, np.ndarray], quality: Mapping[str, float], picture: Picture, side: int = 120
) -> Figure:
    """Draw the same crop of the original and of the outputs: the block of ``side`` pixels where MinMax does most harm."""
    crop = figures.worst_block(outputs["MinMax"], outputs[FULL_PRECISION], side)
    crops = {"original": picture.high[crop]} | {name: output[crop] for name, output in outputs.items()}
    captions = {"original": picture.name} | {name: f"{value:.2f} dB" for name, value in quality.items()}
    return figures.plot_crops(crops, captions)


def average_bits(model: QuantizedSR, pictures: Sequence[Picture]) -> float:
    """Return the feature average bits, mean over whole pictures."""
    return float(np.mean([upscale(model, picture.low).feature_average_bits for picture in pictures]))


def advice(layers: pd.DataFrame) -> str:
    """Return what follows for practice from the factors of layers before and after fine-tuning.

    Args:
        layers: the table ``calibration_layers``.
    """
    adaptive = layers[layers["policy"] == "adaptive"]
    moved, total = int((adaptive["initial_factor"] != adaptive["tuned_factor"]).sum()), len(adaptive)
    if moved == 0:
        return (
            f"To see which layers get other bits than the base, calibrate without fine-tuning: here it kept those of all {total} layers. "
            f"{_dealt(adaptive)}"
        )
    return f"Fine-tune before you look at the bits of layers: here it changed those of {moved} of {total} layers. {_dealt(adaptive)}"


def _dealt(adaptive: pd.DataFrame) -> str:
    """Which layers get more bits, and which fewer."""
    told = []
    for word, sign in (("more", 1), ("fewer", -1)):
        names = list(adaptive.loc[sign * adaptive["tuned_factor"] > 0, "layer"])
        if not names:
            continue
        which = several(names) if len(names) <= _NAMED else f"{len(names)} layers"
        told.append(f"{which} {'get' if len(names) > 1 else 'gets'} {word}")
    return f"{'; '.join(told) or 'All layers get the base bits'}."


def conclusion(bits: float, base: int, pictures: int, name: str, quality: Mapping[str, float]) -> list[str]:
    """Tell the feature average bits over pictures, and what one of them loses.

    Args:
        bits, base: feature average and base bits.
        pictures: how many there are.
        name, quality: of one picture, PSNR in dB by output as :func:`qualities` returned.
    """
    loss = {output: quality[FULL_PRECISION] - value for output, value in quality.items()}
    return [
        answer(
            f"Over {pictures} pictures AdaBM spends {bits:.2f} bits in the mean (base {base}); on {name} it loses "
            f"{loss['AdaBM']:.2f} dB, MinMax {loss['MinMax']:.2f} dB."
        )
    ]
