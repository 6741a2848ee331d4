"""Timing: what is timed, in which order and from which state. No test looks at how long anything took."""

import gc

import pytest
import torch

from adabm.errors import ConfigError
from adabm.steps.tuner import FineTuner
from adabm.study import Effort, Run
from adabm.study.running import timing
from adabm.study.running.timing import LOADED, Part, Workload, linear_fit, peak_memory, time_parts
from helpers.forked import fork_instead
from helpers.study_files import write_network, write_pictures

EFFORT = Effort(patch_size=12, patches=None, rounds=3, steps_per_round=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("timing")
    write_network(root / "net.safetensors")
    write_pictures(root / "pool", 3, 16)
    write_pictures(root / "large", 1, 128)
    return root


@pytest.fixture(autouse=True)
def collections(monkeypatch) -> list[bool]:
    """The collections of garbage so far, none of which happens: in the process of the tests one takes seconds."""
    calls = []
    monkeypatch.setattr(gc, "collect", lambda: calls.append(gc.isenabled()))
    return calls


def workload(files, **changes) -> Workload:
    whole = dict(
        backbone=files / "net.safetensors",
        pool=tuple(sorted((files / "pool").glob("*.png"))),
        effort=EFFORT,
        run=Run.at("adabm", "W4A4 FQ"),
        sizes=(1, 3),
        steps=(1, 2),
        picture=files / "pool" / "a.png",
    )
    return Workload(**{**whole, **changes})


# -- what is timed ---------------------------------------------------------------------------------

PARTS = [
    ("calibration", "calibration pictures", "1"),
    ("calibration", "calibration pictures", "3"),
    ("fine-tuning", "fine-tuning steps", "1"),
    ("fine-tuning", "fine-tuning steps", "2"),
    ("quantize", "part", "clipping"),
    ("quantize", "part", "one weight step"),
    ("quantize", "part", "one activation step"),
    ("quantize", "part", "one mapping step"),
    ("upscale", "part", "full precision"),
    ("upscale", "part", "uniform bits, simulated"),
    ("upscale", "part", "adaptive bits, simulated"),
    ("upscale", "part", "of which Image2Bit"),
]


def names(parts) -> list[tuple[str, str, str]]:
    return [(part.series, part.variable, part.level) for part in parts]


def test_each_round_visits_all_parts_in_the_same_order(files):
    taken = list(time_parts(workload(files), 2))
    assert [sample for _, sample, _ in taken] == [0] * len(PARTS) + [1] * len(PARTS)
    assert names(part for part, _, _ in taken) == PARTS * 2
    assert all(isinstance(seconds, float) for _, _, seconds in taken)


@pytest.mark.parametrize(
    "method, missing",
    [("adabm-layer", {"of which Image2Bit"}), ("minmax-tuned", {"one mapping step", "of which Image2Bit"})],
)
def test_a_model_is_timed_in_the_parts_that_it_has(files, method, missing):
    parts = workload(files, run=Run.at(method, "W4A4 FQ")).parts()
    assert names(parts) == [name for name in PARTS if name[2] not in missing]


def test_the_first_pictures_and_the_asked_steps_are_computed(files, monkeypatch):
    seen = []
    calibrate = timing.calibrate
    monkeypatch.setattr(
        timing,
        "calibrate",
        lambda model, batches: seen.append(sum(len(b) for b in batches)) or calibrate(model, batches),
    )
    steps = []
    step = FineTuner.step
    monkeypatch.setattr(FineTuner, "step", lambda tuner, group, batch: steps.append(group) or step(tuner, group, batch))
    counts = {}
    for part in workload(files, steps=(1, 5)).parts():
        seen.clear(), steps.clear(), part.prepare(), part.act()
        counts[part.series, part.level] = list(seen) or list(steps)
    assert [counts["calibration", level] for level in ("1", "3")] == [[1], [3]]
    assert counts["fine-tuning", "1"] == ["weight"]
    assert counts["fine-tuning", "5"] == ["weight", "activation", "mapping", "weight", "activation"], (
        "the groups take turns"
    )
    assert [counts["quantize", f"one {group} step"] for group in ("weight", "activation", "mapping")] == [
        ["weight"],
        ["activation"],
        ["mapping"],
    ]


def test_every_part_starts_from_its_own_state(files, monkeypatch):
    """Whatever ran before it: clipping from calibrated ranges, fine-tuning and upscaling from clipped ones."""
    starts = {}

    def note(name, model) -> None:
        starts.setdefault(name, []).append({key: value.clone() for key, value in model.state_dict().items()})

    def noting(name, function):
        def noted(model, *arguments):
            note(name, model)
            return function(model, *arguments)

        return noted

    class Noted(FineTuner):
        def __init__(self, model, config):
            note("fine-tuning", model)
            super().__init__(model, config)

    monkeypatch.setattr(timing, "clip_ranges", noting("clipping", timing.clip_ranges))
    monkeypatch.setattr(timing, "FineTuner", Noted)
    monkeypatch.setattr(
        Workload, "_upscale", staticmethod(lambda model, low: note("adaptive" if model.image2bit else "uniform", model))
    )
    list(time_parts(workload(files), 2))
    assert {name: len(states) for name, states in starts.items()} == {
        "clipping": 4,
        "fine-tuning": 16,
        "uniform": 3,
        "adaptive": 3,
    }
    for name, states in starts.items():
        assert all(torch.equal(value, states[0][key]) for state in states for key, value in state.items()), name
    clipped, calibrated = starts["fine-tuning"][0], starts["clipping"][0]
    assert any(not torch.equal(value, calibrated[key]) for key, value in clipped.items())
    assert all(torch.equal(value, starts["adaptive"][0][key]) for key, value in clipped.items())


# -- how it is timed -------------------------------------------------------------------------------


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def work(clock: Clock, log: list, name: str, seconds: float):
    def doing() -> None:
        log.append(name)
        clock.now += seconds

    return doing


def test_preparation_is_not_timed_and_the_first_round_does_not_count(files, clock, monkeypatch):
    log = []
    parts = [
        Part("s", "v", name, work(clock, log, name, seconds), work(clock, log, f"before {name}", 1000))
        for name, seconds in (("a", 1), ("b", 2))
    ]
    monkeypatch.setattr(Workload, "parts", lambda self: parts)
    taken = [(part.level, sample, seconds) for part, sample, seconds in time_parts(workload(files), 3)]
    assert taken == [(name, sample, seconds) for sample in range(3) for name, seconds in (("a", 1), ("b", 2))]
    assert log == ["before a", "a", "before b", "b"] * 4


def test_garbage_is_collected_outside_and_one_thread_computes(files, clock, monkeypatch, collections):
    seen = []
    monkeypatch.setattr(
        Workload,
        "parts",
        lambda self: [
            Part("s", "v", "a", lambda: seen.append((len(collections), gc.isenabled(), torch.get_num_threads())))
        ],
    )
    torch.set_num_threads(2)
    try:
        list(time_parts(workload(files), 1))
        assert seen == [(1, False, 1), (2, False, 1)] and gc.isenabled() and torch.get_num_threads() == 2
        monkeypatch.setattr(Workload, "parts", lambda self: [Part("s", "v", "a", lambda: 1 / 0)])
        with pytest.raises(ZeroDivisionError):
            list(time_parts(workload(files), 1))
        assert gc.isenabled() and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("changes, message", [
    (dict(sizes=()), r"sizes = \[\]: must be numbers from 1 to the 3 pictures of the pool"),
    (dict(sizes=(0, 1)), r"sizes = \[0, 1\]"),
    (dict(sizes=(1, 4)), r"sizes = \[1, 4\]"),
    (dict(steps=()), r"steps = \[\]: must be numbers of at least 1"),
    (dict(steps=(1, 0)), r"steps = \[1, 0\]"),
    (dict(recipes=("minmax", "fastt")), "fastt.*did you mean .fast."),
    (dict(run=Run.at("minmax", "W4A4 FQ")), "minmax: this run does not fine-tune"),
    (dict(device="gpu"), "device = 'gpu': must be auto, cpu or cuda"),
])  # fmt: skip
def test_impossible_workloads_are_refused(files, changes, message):
    with pytest.raises(ConfigError, match=message):
        workload(files, **changes)


@pytest.mark.parametrize("repeats", [0, -1])
def test_impossible_repeats_are_refused(files, repeats):
    with pytest.raises(ConfigError, match=f"repeats = {repeats}: must be at least 1"):
        list(time_parts(workload(files), repeats))


# -- memory and fits -------------------------------------------------------------------------------


@pytest.mark.slow
def test_peak_memory_grows_with_what_is_done(files, monkeypatch):
    fork_instead(monkeypatch)
    large = workload(files, picture=files / "large" / "a.png")
    part = ("upscale", "adaptive bits, simulated")
    peaks = peak_memory(large, [LOADED, part])
    assert list(peaks) == [LOADED, part] and 0 < peaks[LOADED] < peaks[part]


@pytest.mark.parametrize("part, sizes, steps", [
    (("calibration", "3"), (1, 3), (1, 2)), (("quantize", "one weight step"), (1,), (1,)), (LOADED, None, None),
])  # fmt: skip
def test_memory_is_that_of_no_more_than_the_part(files, monkeypatch, part, sizes, steps):
    """What comes before a part, its own calibration, must not be larger than the part."""
    made, parts = [], Workload.parts
    monkeypatch.setattr(Workload, "parts", lambda self: made.append((self.sizes, self.steps)) or parts(self))
    assert timing._peak_of(workload(files), part) > 0
    assert made == ([(sizes, steps)] if sizes else [])


def test_an_unknown_part_is_told(files):
    with pytest.raises(
        ConfigError,
        match=r"no part \('quantize', 'clippin'\).*choose one of \('none', 'network loaded'\), \('calibration', '1'\)",
    ):
        timing._peak_of(workload(files), ("quantize", "clippin"))


def test_a_line_through_times():
    assert linear_fit([1, 2, 4], [5, 7, 11]) == pytest.approx((3, 2))
    assert linear_fit([0, 1, 2], [0, 3, 0]) == pytest.approx((1, 0))
