"""What it looks like: which block is drawn, and the sentences about the table."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from adabm.errors import ConfigError, FineTuningError, StudyError
from adabm.pictures.picture import Picture
from adabm.study import Bench, Effort, save_figure
from adabm.study.answers import pictures as answer
from adabm.study.pages.comparison import plot_differences
from adabm.study.pages.embedding import embedded
from adabm.study.running.tasks import ModelTask
from adabm.study.tables.schema import study_table
from helpers.evidence import cells
from helpers.study_files import write_study_with_pool
from helpers.study_tables import diverged, row


def table(at_four: tuple[float, ...], at_three: tuple[float, ...]) -> pd.DataFrame:
    """What MinMax, Fast and AdaBM lose in dB."""
    full = row(setting="FP32", series="full precision", variable="none", level="none", psnr_y_db=31.0, loss_db=0.0)
    rows = [
        row(setting=s, series=series, variable="setting", level=s, loss_db=loss, psnr_y_db=31 - loss, pictures=7)
        for s, losses in (("W4A4 FQ", at_four), ("W3A3 FQ", at_three))
        for series, loss in zip(("MinMax", "Fast", "AdaBM"), losses)
    ]
    return study_table([full, *rows])


def told(*losses: tuple[float, ...]) -> list[str]:
    return answer.conclusion(table(*losses), ["a", "b"])


def test_what_each_loses_in_the_mean_and_which_to_use():
    head, drawn, advice, losses = told((2.0, 0.5), (6.0, 7.0))
    assert (
        head
        == "**In the mean of 7 photographs Fast loses 7.00 dB at W3A3 FQ and MinMax 6.00; at W4A4 FQ 0.50 and 2.00.**"
    )
    assert advice == (
        "*In practice:* in the blocks drawn Fast comes nearest to full precision at W4A4 FQ (0.50 dB lost in the mean) and MinMax comes nearest "
        "to full precision at W3A3 FQ (6.00 dB lost in the mean) (1 seed); which "
        "recipe to use is told on the page of what each method loses. The noise of Fast and MinMax at W3A3 FQ is seen at once."
    )
    assert [cells(losses, place) for place in (0, 1)] == [["MinMax", "2.00", "6.00"], ["Fast", "0.50", "7.00"]]
    assert drawn == "Drawn are the blocks of a and b where MinMax does most harm."
    assert told((2.0, 0.1), (6.0, 0.3))[1].endswith(
        "most harm. Best, which trains on from Fast, is not drawn: Fast loses 0.30 dB at most in the mean of the photographs, so "
        "that one would hardly see a difference."
    )


def test_what_diverged_is_told_and_has_no_number():
    whole = table((2.0, 0.1, 0.5), (6.0, 0.2, 1.7))
    at_three, fast = whole["setting"] == "W3A3 FQ", whole["series"] == "Fast"
    head, drawn, lost, advice, losses = answer.conclusion(diverged(whole, at_three & fast), ["a", "b"])
    assert "MinMax loses 6.00 dB at W3A3 FQ, AdaBM 1.70 and Fast diverged; at W4A4 FQ 2.00, 0.50 and 0.10." in head
    assert drawn.endswith("MinMax does most harm."), "nothing is said of the most that Fast loses"
    assert lost == 'Diverged, and left out of all numbers: "Fast" (its only seed at W3A3 FQ).'
    assert "AdaBM comes nearest to full precision at W3A3 FQ" in advice
    assert cells(losses, 2) == ["Fast", "0.10", "diverged"]
    first = answer.conclusion(diverged(whole, at_three & (whole["series"] == "MinMax")), ["a"])[1]
    assert first.startswith("Drawn are the blocks of a where Fast does most harm."), "the first that is there"
    without = answer.conclusion(diverged(whole, at_three), ["a"])
    assert "W3A3" not in without[0] and "nan" not in "".join(without)


def test_what_is_hardly_seen_is_told_as_that():
    head, _, advice, _ = told((1.0, 0.1, 0.5), (6.0, 0.3, 1.7))
    assert head.endswith("MinMax loses 6.00 dB at W3A3 FQ, AdaBM 1.70 and Fast 0.30; at W4A4 FQ 1.00, 0.50 and 0.10.**")
    assert advice == (
        "*In practice:* in the blocks drawn Fast is hardly told from full precision at W4A4 FQ (0.10 dB lost in the mean) and W3A3 FQ (0.30 dB "
        "lost in the mean) (1 seed); which recipe to use is told on the page of what each "
        "method loses. At W4A4 FQ one has to look at the differences to tell AdaBM (0.40 dB more "
        "lost) from Fast. The noise of MinMax at W3A3 FQ is seen at once."
    )
    assert "seen at once" not in told((1.0, 0.1), (2.9, 0.3))[2] and "look at" not in told((1.0, 0.1), (2.9, 0.3))[2]


def test_the_block_where_the_first_method_does_most_harm_is_drawn():
    high = np.zeros((256, 384, 3), np.uint8)
    broken = high.copy()
    broken[88:176, 264:] = 200  # the last whole block
    low = np.zeros((64, 96, 3), np.uint8)
    made = {
        ("a", "W4A4", name): image for name, image in (("full precision", high), ("MinMax", broken), ("Fast", high))
    }
    (figure,) = answer.figures(made, [Picture("a", high, low)]).values()
    drawn = {axis.get_title().split("\n")[0]: axis for axis in figure.axes if axis.images}
    assert {"original", "full precision", "MinMax", "Fast"} <= set(drawn)
    assert (drawn["MinMax"].images[0].get_array() == 200).all()
    told = [axis.get_title() for axis in figure.axes if "in the mean" in axis.get_title()]
    assert told == ["200.0 of 255 in the mean", "0.0 of 255 in the mean"]
    both = made | {("b", *key[1:]): image for key, image in made.items()}
    both |= {(name, "W3A3", series): image for (name, _, series), image in both.items()}
    first, second = answer.figures(both, [Picture("a", high, low), Picture("b", high, low)]).values()
    shown = lambda figure: [text.get_text().partition(":")[0] for text in figure.texts]
    assert shown(first) == ["W4A4", "W3A3"] and shown(second) == ["W3A3"], "the others at the last setting alone"


def test_each_pixel_of_a_crop_is_drawn_as_whole_pixels(tmp_path):
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (20, 30, 3), np.uint8) for name in ("original", "full precision", "Fast")}
    quality = {"W4A4": {"full precision": 30.0, "Fast": 29.0}}
    drawn = plot_differences({"W4A4": images}, quality, "full precision", np.s_[4:20, 6:30])
    save_figure(drawn, tmp_path / "crops")
    page = io.BytesIO(base64.b64decode(embedded(tmp_path / "crops.png").partition(",")[2]))
    for path, off in ((tmp_path / "crops.png", 0), (page, 2)):
        found = np.asarray(Image.open(path).convert("RGB"), dtype=int)
        for image in images.values():
            large = image[4:20, 6:30].repeat(2, 0).repeat(2, 1)
            places = np.lib.stride_tricks.sliding_window_view(found[..., 0], large.shape[:2])
            ends = ((places[..., 0, 0], large[0, 0, 0]), (places[..., -1, -1], large[-1, -1, 0]))
            rows, columns = np.nonzero(np.all([np.abs(there - int(end)) <= off for there, end in ends], axis=0))
            assert any((np.abs(found[r : r + 32, c : c + 48] - large) <= off).all() for r, c in zip(rows, columns))


def test_models_of_the_cache_make_the_pictures(tmp_path, monkeypatch):
    write_study_with_pool(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    bench = Bench.open("net.safetensors", "data", ["First"], "data/pool", Effort(12, None, 3, 1), workers=1)
    name = bench.sets[0].files[0].name
    trials = answer.trials(bench, ["W3A3 FQ"], {"MinMax": "minmax"}, 2, 0)
    (picture,) = answer.shown(bench, [name])
    made = answer.outputs(bench, trials, [picture])
    assert {key[2] for key in made} == {"full precision", "MinMax"}
    assert all(image.shape == picture.high.shape and image.dtype == np.uint8 for image in made.values())
    assert (made[name, "W3A3 FQ", "MinMax"] != made[name, "W3A3 FQ", "full precision"]).any()
    with pytest.raises(ConfigError, match="First has no picture nobody; it has "):
        answer.shown(bench, ["nobody"])

    def load(task):
        if task.run.method == "fast":
            raise FineTuningError("fine-tuning diverged")
        return loaded(task)

    loaded = ModelTask.load
    monkeypatch.setattr(ModelTask, "load", load)
    both = answer.trials(bench, ["W3A3 FQ"], {"Fast": "fast", "MinMax": "minmax"}, 2, 0)
    assert set(answer.outputs(bench, both, [picture])) == set(made), "what diverged is left out"
    with pytest.raises(StudyError, match="all models diverged"):
        answer.outputs(bench, both[:1], [picture])
