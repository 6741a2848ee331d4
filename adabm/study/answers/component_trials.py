"""The models that the question ``components`` compares: parts switched off, other base bits, other weights of the bit loss."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..plan.cells import Run
from ..plan.options import check_choices, check_keys
from ..running.bench import Bench, Trial

# The parts, and what leaves each out of a recipe.
PARTS = {"image": {"map_bits.image": None}, "layer": {"map_bits.layer": None}, "clipping": {"clip": None}}
TUNING = "tuning"
WHOLE = "+".join(PARTS)
NONE = "none"
UNTUNED = ", not fine-tuned"

_NOT_TUNED = {"tune": None}
_TUNED_SERIES: dict[str, dict[str, object]] = {
    "AdaBM": {},
    "uniform bits": PARTS["image"] | PARTS["layer"],
    "layer mapping": PARTS["image"],
    "random layer factors": PARTS["image"] | {"deal_factors": {"by": "random"}},
    "opposite layer factors": PARTS["image"] | {"deal_factors": {"by": "opposite"}},
}
# Of the frontier: what differs from the recipe in each series.
SERIES = _TUNED_SERIES | {f"{name}{UNTUNED}": changes | _NOT_TUNED for name, changes in _TUNED_SERIES.items()}


def all_combinations() -> list[str]:
    """Return all combinations of components without fine-tuning, such as ``image+layer``; ``none`` is the first."""
    sizes = range(len(PARTS) + 1)
    return ["+".join(parts) or NONE for size in sizes for parts in itertools.combinations(PARTS, size)]


def switched(level: str) -> dict[str, object]:
    """Return what a combination such as ``image+tuning`` changes in the recipe.

    Raises:
        ConfigError: it holds an unknown component.
    """
    parts = [] if level == NONE else level.split("+")
    check_choices(f"combinations, {level}", parts, [*PARTS, TUNING])
    changes: dict[str, object] = {}
    for name, left_out in PARTS.items():
        changes |= {} if name in parts else left_out
    return changes if TUNING in parts else changes | _NOT_TUNED


@dataclass(frozen=True)
class Trials:
    """Makes the trials of the question.

    Attributes:
        setting: of the components and of the bit loss, such as ``W4A4 FQ``; the frontier is fully quantized where this is.
        pictures: random calibration pictures, others for each seed.
        run_tuned: False lists what is fine-tuned as not run.
    """

    bench: Bench
    preset: str
    setting: str
    pictures: int
    seeds: Sequence[int]
    run_tuned: bool = True

    def components(self, combinations: Sequence[str]) -> list[Trial]:
        """Each combination of components; the series tells whether it is fine-tuned, the level the rest."""
        return [
            self._trial(
                "fine-tuned" if TUNING in level else "not fine-tuned",
                "components",
                "+".join(part for part in PARTS if part in level.split("+")) or NONE,
                seed,
                switched(level),
            )
            for level in combinations
            for seed in self.seeds
        ]

    def frontier(self, frontier: Mapping) -> list[Trial]:
        """Other base bits of activations, those of the weights being the same.

        Args:
            frontier: ``bits`` and ``series`` (of :data:`SERIES`), ``weight_bits``, and ``tuned`` with other ``bits`` and
                ``series``, which take longer.

        Raises:
            ConfigError: an unknown or missing key, or an unknown series.
        """
        check_keys("frontier", frontier, ["bits", "weight_bits", "series", "tuned"])
        check_keys("frontier, tuned", frontier["tuned"], ["bits", "series"])
        check_choices("frontier", frontier["series"] + frontier["tuned"]["series"], SERIES)
        full = " FQ" if Run.at(self.preset, self.setting).fully_quantized else ""
        return [
            self._trial(
                name, "bits", str(bits), seed, changes=SERIES[name], at=f"W{frontier['weight_bits']}A{bits}{full}"
            )
            for part in (frontier, frontier["tuned"])
            for name in part["series"]
            for bits in part["bits"]
            for seed in self.seeds
        ]

    def bit_weights(self, weights: Sequence[float]) -> list[Trial]:
        """Other weights of the bit loss, which punishes a mean FAB above the base bits while the mapping is tuned."""
        return [
            self._trial("AdaBM", "bit_weight", f"{weight:g}", seed, {"tune.bit_weight": weight})
            for weight in weights
            for seed in self.seeds
        ]

    def _trial(
        self,
        series: str,
        variable: str,
        level: str,
        seed: int,
        changes: Mapping[str, object] | None = None,
        at: str | None = None,
    ) -> Trial:
        run = Run.at(self.preset, at or self.setting, seed, changes)
        wanted = self.run_tuned or run.config(self.bench.effort).step("tune") is None
        return Trial(series, variable, level, run, self.bench.choose("random", self.pictures, run), wanted)
