"""How long: the conclusion of a table of round numbers. No test looks at how long anything took."""

from adabm.study.answers import timing
from adabm.study.running.timing import WHOLE
from adabm.study.tables.schema import study_table
from helpers.evidence import cells
from helpers.study_tables import row

NO_QUALITY = dict(psnr_y_db=None, ssim_y=None, loss_db=None, fab=None)


def parts() -> list[dict]:
    seconds = {
        ("calibration", "calibration pictures"): {"1": 1.0, "11": 6.0},
        ("fine-tuning", "fine-tuning steps"): {"1": 2.0, "3": 6.0},
        ("quantize", "part"): {"clipping": 4.0, "one weight step": 1.5},
        ("upscale", "part"): {
            "full precision": 0.5,
            "uniform bits, simulated": 0.8,
            "adaptive bits, simulated": 1.0,
            "of which Image2Bit": 0.02,
        },
    }
    return [
        row(question="timing", series=series, variable=variable, level=level, sample=sample, seconds=value * factor,
            dataset="coffee, 8x6" if series == "upscale" else "patches of 12x12", **NO_QUALITY)
        for (series, variable), levels in seconds.items()
        for level, value in levels.items()
        for sample, factor in enumerate((1.0, 1.0, 9.0))  # the median is not disturbed
    ]  # fmt: skip


def memory() -> list[dict]:
    return [
        row(question="timing", series=series, variable=variable, level=level, sample=3, peak_mib=mib, **NO_QUALITY)
        for series, variable, level, mib in (
            ("calibration", "calibration pictures", "11", 700.0),
            ("quantize", "part", "clipping", 800.4),
        )
    ]


def test_conclusion():
    told = timing.conclusion(study_table(parts() + memory()), [1, 11], whole_steps=15)
    assert told[:-1] == [
        "**AdaBM takes about 40 s of one thread (11 pictures, 15 steps, extrapolated along a straight line fitted to 0, 1 and 3 steps), 75% of "
        "them fine-tuning; upscaling in simulated low bits takes 2.0 times as long as in full precision.**",
        "Adaptive bits take 1.25 times as long as uniform simulated bits; Image2Bit itself is 2.0% of it. Times are medians of 3 repeats, with one seed.",
        "Memory peaks at 800 MiB, in clipping; it is least in calibration on 11 pictures, with 700 MiB.",
        "*In practice:* one step of fine-tuning costs as much as 4 calibration pictures: save steps, not pictures.",
    ]
    assert [cells(told[-1], row) for row in (0, 3, 4)] == [
        ["calibration, a picture", "0.500"], ["fine-tuning, a step", "2.000"], ["fine-tuning, 15 steps", "30.000"]
    ]  # fmt: skip


def test_what_fewer_steps_take_is_told():
    told = timing.conclusion(study_table(parts() + memory()), [1, 11], whole_steps=500)
    assert "**AdaBM takes about 1010 s" in told[0]
    assert told[3].endswith("save steps, not pictures. With 15 steps AdaBM takes about 40 s (11 pictures).")


def test_whole_recipes_are_told_where_they_were_timed():
    whole = [
        row(
            question="timing", series=WHOLE, variable="recipe", level=name, sample=sample, seconds=seconds, **NO_QUALITY
        )
        for name, seconds in {"fast": 7.0, "minmax": 2.0, "omse": 3.0}.items()
        for sample in range(3)
    ]
    told = timing.conclusion(study_table(parts() + memory() + whole), [1, 11], whole_steps=15)[0]
    assert "75% of them fine-tuning; MinMax 2.0 s and Fast 7.0 s; upscaling" in told


def test_the_released_recipe_is_told_as_measured_where_it_was():
    """Put together from its parts it would take 40 s."""
    whole = lambda name, seconds: row(question="timing", series=WHOLE, variable="recipe", level=name, seconds=seconds, **NO_QUALITY)  # fmt: skip
    both = [whole("adabm", 50.0), whole("adabm-notune", 5.0)]
    told = lambda rows: timing.conclusion(study_table(parts() + memory() + rows), [1, 11], whole_steps=15)[0]
    assert told(both).startswith("**AdaBM takes 50 s of one thread (11 pictures, 15 steps), 90% of them fine-tuning; ")
    assert "80% of them fine-tuning" in told(both[:1]), "calibration and clipping take 10 s"


def test_a_ratio_within_the_noise_is_none():
    rows = study_table(parts() + memory())
    rows.loc[rows["level"] == "adaptive bits, simulated", "seconds"] = rows.loc[
        rows["level"] == "uniform bits, simulated", "seconds"
    ].to_numpy()
    assert timing.conclusion(rows, [1, 11], whole_steps=15)[1].startswith("Adaptive bits take as long as")


def test_figures():
    assert list(timing.figures(study_table(parts() + memory()))) == ["", "pictures", "steps"]
