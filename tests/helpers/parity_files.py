"""Read a file of reference numbers and set up the same network and configuration here."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from adabm.networks import build_network, describe
from adabm.quantization.model import QuantizedSR
from adabm.quantization.observers import observe_weight
from adabm.recipes import QuantizationConfig, calibrate
from adabm.steps.tune import Tune
from helpers.configurations import configured

FOLDER = Path(os.environ.get("ADABM_PARITY", Path(__file__).parents[3] / "shared" / "parity"))


@dataclass
class Reference:
    """The arrays of one file and what its names tell of the configuration."""

    path: Path
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> "Reference":
        with np.load(path, allow_pickle=False) as file:
            return cls(path, {name: file[name] for name in file.files})

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def series(self, prefix: str) -> list[torch.Tensor]:
        """Arrays ``prefix/0``, ``prefix/1``, ... as float tensors."""
        count = sum(1 for name in self.arrays if re.fullmatch(re.escape(prefix) + r"/\d+", name))
        return [self.tensor(f"{prefix}/{i}").float() for i in range(count)]

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        """Arrays below ``prefix/`` by the rest of their names."""
        return {k[len(prefix) + 1 :]: torch.from_numpy(v) for k, v in self.arrays.items() if k.startswith(prefix + "/")}

    def has(self, ending: str) -> bool:
        return any(k.startswith("qparams_calibrated/") and k.endswith(ending) for k in self.arrays)

    # -- the network ---------------------------------------------------------------------------

    @property
    def family(self) -> str:
        return self.path.stem.split("_")[0]

    def ours(self, name: str) -> str:
        """Translate the released code's module name into this network's."""
        if self.family != "edsr":
            return name
        blocks = max(int(k.split(".")[1]) for k in self.group("weights") if k.startswith("body."))
        fixed = {"head.0": "conv_first", f"body.{blocks}": "conv_after_body", "tail.1": "conv_last"}
        if name.startswith("tail.0."):
            return "upsample." + name.removeprefix("tail.0.")
        return fixed.get(name, name)

    def network(self) -> torch.nn.Module:
        weights = self.group("weights")
        scale = self.tensor("first_quant_out").shape[-1] // self.tensor("images/tune/0").shape[-1]
        state = {}
        for name, value in weights.items():
            module, _, kind = name.rpartition(".")
            if module not in ("sub_mean", "add_mean"):
                state[f"{self.ours(module)}.{kind}"] = value
        if self.family == "edsr":
            mean = tuple((-weights["sub_mean.bias"]).tolist()) if "sub_mean.bias" in weights else (0.0, 0.0, 0.0)
            blocks = sum(1 for k in weights if re.fullmatch(r"body\.\d+\.conv1\.weight", k))
            network = build_network(
                "EDSR",
                num_in_ch=3,
                num_out_ch=3,
                num_feat=len(weights["head.0.weight"]),
                num_block=blocks,
                upscale=scale,
                img_range=1.0,
                rgb_mean=mean,
            )
        elif self.family == "srresnet":
            blocks = sum(1 for k in weights if re.fullmatch(r"body\.\d+\.conv1\.weight", k))
            network = build_network("SRResNet", num_feat=len(weights["head.0.weight"]), num_block=blocks, upscale=scale)
        elif self.family == "rdn":
            blocks = sum(1 for k in weights if k.endswith("LFF.weight"))
            layers = sum(1 for k in weights if re.fullmatch(r"RDBs\.0\.convs\.\d+\.conv\.0\.weight", k))
            network = build_network(
                "RDN",
                num_feat=len(weights["SFENet1.weight"]),
                num_block=blocks,
                num_layer=layers,
                growth=len(weights["RDBs.0.convs.0.conv.0.weight"]),
                upscale=scale,
            )
        else:
            raise NotImplementedError(f"{self.path.name}: no network of family {self.family!r}")
        network.load_state_dict(state, strict=True)
        return network.eval()

    # -- the configuration ---------------------------------------------------------------------

    def weight_observer(self, bits: int) -> str:
        """The observer that gives the recorded weight ranges: the file does not name it."""
        recorded = {
            k.removesuffix(".upper_w"): v for k, v in self.group("qparams_calibrated").items() if k.endswith("upper_w")
        }
        for observer in ("omse", "minmax", "percentile", "omse_absmax"):
            if all(
                torch.allclose(observe_weight(self.tensor(f"weights/{name}.weight"), observer, bits), value, rtol=1e-5)
                for name, value in recorded.items()
            ):
                return observer
        raise AssertionError(f"{self.path.name}: no weight observer gives the recorded ranges")

    @property
    def fully_quantized(self) -> bool:
        """Whether the first convolution has quantization parameters; not every file's name tells."""
        return any(k.startswith(("head.0.", "SFENet1.")) for k in self.group("qparams_calibrated"))

    def activation_observer(self) -> str:
        """The observer that the file's name tells; ``omse`` has to be looked at.

        The released OMSE observer of activations searches a range and then discards it, so that what
        it records is the min/max range; a corrected one records the range found.
        """
        named = next((name for name in ("percentile", "omse") if name in self.path.stem), "minmax")
        if named == "omse":
            return "minmax" if self._ranges_match("minmax") else "omse"
        return named

    def _ranges_match(self, observer: str) -> bool:
        """Whether calibrating with ``observer`` gives the recorded activation ranges."""
        network = self.network()
        config = configured(
            weight_bits=8,
            activation_bits=4,
            fully_quantized=self.fully_quantized,
            activation_observer=observer,
            weight_observer="minmax",
        )
        model = QuantizedSR(network, config, describe(network, value_range=255.0))
        calibrate(model, self.series("images/calib"))
        ours = self.parameters(model)
        return all(
            torch.allclose(ours[name].detach(), value, rtol=1e-4)
            for name, value in self.group("qparams_calibrated").items()
            if name.endswith(("lower_a", "upper_a"))
        )

    def config(self) -> QuantizationConfig:
        weight_bits, activation_bits = (int(b) for b in re.search(r"w(\d+)a(\d+)", self.path.stem).groups())
        before, after = self.group("qparams_calibrated"), self.group("qparams_after_bac")
        return configured(
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            fully_quantized=self.fully_quantized,
            image_mapping=self.has("measure_l"),
            layer_mapping=self.has("measure_layer"),
            clipping=any(not torch.equal(before[k], after[k]) for k in before),
            activation_observer=self.activation_observer(),
            weight_observer=self.weight_observer(weight_bits),
            fine_tuning=Tune(),
        )

    def model(self) -> QuantizedSR:
        network = self.network()
        return QuantizedSR(network, self.config(), describe(network, value_range=255.0))

    # -- parameters under the released names ---------------------------------------------------

    def parameters(self, model: QuantizedSR) -> dict[str, torch.nn.Parameter]:
        """This model's parameters by the names that the file gives them."""
        found = {}
        for name in self.group("qparams_calibrated"):
            module, _, kind = name.rpartition(".")
            if kind in ("measure_l", "measure_u"):
                found[name] = model.image2bit.lower if kind == "measure_l" else model.image2bit.upper
                continue
            layer = model.layers[self.ours(module)]
            found[name] = {
                "lower_a": layer.activation.lower,
                "upper_a": layer.activation.upper,
                "upper_w": layer.weight_quantizer.scale,
                "measure_layer": layer.layer2bit.factor if layer.layer2bit is not None else None,
            }[kind]
        return found
