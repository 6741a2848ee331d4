"""Settings of a quantization, validated on construction, and the named presets."""

import dataclasses
from dataclasses import dataclass, field

from ..errors import ConfigError
from ..suggestions import suggestion
from .observers import ACTIVATION_OBSERVERS, WEIGHT_OBSERVERS

GROUPS = ("weight", "activation", "mapping")  # of parameters, in the rotation of fine-tuning


def _require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise ConfigError(f"{name} = {value!r}: must be {rule}")


@dataclass(frozen=True)
class FineTuningConfig:
    """Fine-tuning recipe (method section 6); defaults are the released values.

    Attributes:
        rounds, steps_per_round, batch_size, patch_size: 10 rounds of 50 batches of 2 LR patches of 96x96.
        lr_weight, lr_activation, lr_layer, lr_image: Adam's learning rates of s, (l, u), m_k and
            (c_l, c_u), in the parameters' own units.
        relative_lr: multiply the rates of s and (l, u) by each range's calibrated width instead,
            which makes the recipe independent of the network's value range (not in the paper).
        lr_decay: factor on a group's rate after each of its rounds.
        structure_weight, bit_weight: weights of the structure and bit losses.
        target_bits: feature average above which the bit loss punishes; None: the base bits.
        groups: parameter groups that take turns; leaving one out keeps it as calibrated.
        divergence_factor: stop when the mean loss of 10 steps exceeds this multiple of the least
            such mean seen so far in rounds of the same group.
    """

    rounds: int = 10
    steps_per_round: int = 50
    batch_size: int = 2
    patch_size: int = 96
    lr_weight: float = 0.01
    lr_activation: float = 0.01
    lr_layer: float = 0.01
    lr_image: float = 0.1
    relative_lr: bool = False
    lr_decay: float = 0.9
    structure_weight: float = 10.0
    bit_weight: float = 50.0
    target_bits: float | None = None
    groups: tuple[str, ...] = GROUPS
    divergence_factor: float = 20.0

    def __post_init__(self) -> None:
        for name in ("steps_per_round", "batch_size", "patch_size"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value >= 1, name, value, "a whole number >= 1")
        _require(isinstance(self.rounds, int) and self.rounds >= 0, "rounds", self.rounds, "a whole number >= 0")
        for name in ("lr_weight", "lr_activation", "lr_layer", "lr_image", "structure_weight", "bit_weight"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        object.__setattr__(self, "groups", tuple(self.groups))  # a list where it comes from JSON
        _require(
            0 < len(self.groups) == len(set(self.groups)) and set(self.groups) <= set(GROUPS),
            "groups",
            self.groups,
            "some of " + ", ".join(GROUPS) + ", each once",
        )
        _require(
            self.target_bits is None or self.target_bits > 0,
            "target_bits",
            self.target_bits,
            "> 0, or None for the base bits",
        )
        _require(0 < self.lr_decay <= 1, "lr_decay", self.lr_decay, "in (0, 1]")
        _require(self.divergence_factor > 1, "divergence_factor", self.divergence_factor, "> 1")


@dataclass(frozen=True)
class QuantizationConfig:
    """What is quantized, to how many bits, and how (defaults: preset ``adabm`` at W4A4).

    Attributes:
        weight_bits, activation_bits: base bits b_w and b_a; 32 means full precision.
        fully_quantized: quantize first, upsampling and last convolutions too, at ``fixed_bits``.
        image_mapping, layer_mapping, clipping: AdaBM's components, each on or off.
        activation_observer, weight_observer: see :mod:`adabm.quantization.observers`.
        percentile: of the percentile observers, in (0.5, 1].
        ema: share of the old value when a later calibration batch updates a range.
        image_percentile, layer_percentile: where the thresholds of image complexity and layer
            sensitivity lie, in percent.
        clipping_share: share of the calibrated range that bit-aware clipping keeps.
        fine_tuning: the recipe, or None for calibration alone.
    """

    weight_bits: int = 4
    activation_bits: int = 4
    fully_quantized: bool = True
    fixed_bits: int = 8
    image_mapping: bool = True
    layer_mapping: bool = True
    clipping: bool = True
    activation_observer: str = "minmax"
    weight_observer: str = "omse"
    percentile: float = 0.99
    ema: float = 0.9
    image_percentile: float = 10.0
    layer_percentile: float = 30.0
    clipping_share: float = 0.5
    fine_tuning: FineTuningConfig | None = field(default_factory=FineTuningConfig)

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "fixed_bits"):
            value = getattr(self, name)
            _require(isinstance(value, int) and (1 <= value <= 16 or value == 32), name, value, "1 to 16, or 32")
        smallest = 1 + int(self.image_mapping) + int(self.layer_mapping)
        _require(
            self.activation_bits >= smallest,
            "activation_bits",
            self.activation_bits,
            f">= {smallest} with the mappings that are on, each of which can take a bit away",
        )
        _require(
            self.activation_bits != 32 or smallest == 1,
            "activation_bits",
            self.activation_bits,
            "16 or less with the mappings, which would change the bits of full precision",
        )
        _require(
            self.activation_observer in ACTIVATION_OBSERVERS,
            "activation_observer",
            self.activation_observer,
            "one of " + ", ".join(ACTIVATION_OBSERVERS),
        )
        _require(
            self.weight_observer in WEIGHT_OBSERVERS,
            "weight_observer",
            self.weight_observer,
            "one of " + ", ".join(WEIGHT_OBSERVERS),
        )
        _require(0.5 < self.percentile <= 1, "percentile", self.percentile, "in (0.5, 1]")
        for name in ("ema", "clipping_share"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("image_percentile", "layer_percentile"):
            _require(0 <= getattr(self, name) < 50, name, getattr(self, name), "in [0, 50)")

    def to_dict(self) -> dict:
        """Return a JSON-ready dictionary; :meth:`from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: dict) -> "QuantizationConfig":
        """Build from a dictionary; an unknown name raises :class:`ConfigError` with close matches."""
        settings = dict(settings)
        tuning = settings.get("fine_tuning", FineTuningConfig())
        if isinstance(tuning, dict):
            settings["fine_tuning"] = FineTuningConfig(**_known(tuning, FineTuningConfig))
        return cls(**_known(settings, cls))


def _known(settings: dict, cls: type) -> dict:
    names = [f.name for f in dataclasses.fields(cls)]
    for name in settings:
        if name not in names:
            raise ConfigError(f"unknown setting {name!r}: {suggestion(name, names)}")
    return settings


_UNIFORM = dict(image_mapping=False, layer_mapping=False, clipping=False)

PRESETS: dict[str, dict] = {
    "adabm": {},
    "adabm-own-bits": dict(weight_observer="omse_own_bits"),
    "adabm-relative": dict(
        weight_observer="omse_absmax", fine_tuning=dict(lr_weight=0.001, lr_activation=0.001, relative_lr=True)
    ),
    "adabm-image": dict(layer_mapping=False),
    "adabm-layer": dict(image_mapping=False),
    "adabm-noclip": dict(clipping=False),
    "adabm-notune": dict(fine_tuning=None),
    "minmax": dict(**_UNIFORM, weight_observer="minmax", fine_tuning=None),
    "percentile": dict(**_UNIFORM, activation_observer="percentile", weight_observer="minmax", fine_tuning=None),
    "omse": dict(**_UNIFORM, activation_observer="omse", weight_observer="omse", fine_tuning=None),
    "minmax-tuned": dict(**_UNIFORM, weight_observer="minmax"),
    "percentile-tuned": dict(**_UNIFORM, activation_observer="percentile", weight_observer="minmax"),
    "omse-tuned": dict(**_UNIFORM, activation_observer="omse", weight_observer="omse"),
}


def preset(name: str, **changes: object) -> QuantizationConfig:
    """Return a named configuration with changes, e.g. ``preset("adabm", activation_bits=6)``.

    ``adabm`` is the released recipe. ``adabm-image``, ``-layer``, ``-noclip`` and ``-notune`` each
    leave out one component; ``minmax``, ``percentile`` and ``omse`` are uniform quantization, and
    their ``-tuned`` forms fine-tune ranges. ``adabm-relative`` scales learning rates with the ranges;
    ``adabm-own-bits`` searches each weight range at the layer's own bits, from max |W|.

    A dictionary given as ``fine_tuning`` changes the preset's recipe; a preset without fine-tuning
    ignores it.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    settings = dict(PRESETS[name])
    tuning = changes.pop("fine_tuning", {})
    if tuning is None or settings.get("fine_tuning", {}) is None:
        settings["fine_tuning"] = None
    else:
        if isinstance(tuning, FineTuningConfig):
            tuning = dataclasses.asdict(tuning)
        settings["fine_tuning"] = {**settings.get("fine_tuning", {}), **tuning}
    return QuantizationConfig.from_dict({**settings, **changes})
