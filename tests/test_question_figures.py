"""The figures of the questions show the numbers of their tables: means, spreads, order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from adabm.recipes import PRESETS
from adabm.study.pages.figures import IMAGES, INK, LAYERS, SLATE, WORSE, family_colors, network_styles
from adabm.study.pages.frontier_figure import plot_frontier
from adabm.study.pages.panel_figures import plot_panels
from adabm.study.pages.question_figures import plot_levels, plot_sweep
from adabm.study.pages.series import apart, series_styles
from adabm.study.tables.schema import study_table
from helpers.study_tables import row

FULL = {"Set5": 31.0, "Set14": 29.0}


def sweep(
    levels=("20", "0", "5"), series=("AdaBM", "uniform"), datasets=("Set5", "Set14"), seeds=(0, 1, 2), seed=0
) -> pd.DataFrame:
    """Measured rows with random values, levels in the given order."""
    rng = np.random.default_rng(seed)
    return study_table(
        row(
            dataset=d,
            series=s,
            level=level,
            seed=n,
            psnr_y_db=rng.uniform(25, 30),
            loss_db=rng.uniform(0.5, 2),
            fab=rng.uniform(3, 5),
        )
        for s in series
        for level in levels
        for d in datasets
        for n in seeds
    )


def legend(figure: Figure) -> list[str]:
    legends = figure.legends or [axis.get_legend() for axis in figure.axes if axis.get_legend()]
    return [text.get_text() for found in legends for text in found.get_texts()]


def named(figure: Figure) -> list[str]:
    """The names beside the lines, from the lowest to the highest."""
    texts = [text for axis in figure.axes for text in axis.texts if text.get_text() != "full precision"]
    assert all(text.xyann[0] > 1 for text in texts), "beside the panel, where there is no data"
    return [text.get_text() for text in sorted(texts, key=lambda text: text.xyann[1])]


def errorbars(axis: Axes) -> dict[str, ErrorbarContainer]:
    return {c.get_label(): c for c in axis.containers if isinstance(c, ErrorbarContainer)}


def points(container: ErrorbarContainer) -> np.ndarray:
    """(points, 2) places of the markers."""
    return np.column_stack(container[0].get_data()).astype(float)


def bars(container: ErrorbarContainer, axis: int) -> np.ndarray:
    """(points, 2) ends of the bars along an axis."""
    (found,) = [c for c in container[2] if all(np.ptp(s[:, 1 - axis]) == 0 for s in c.get_segments())]
    return np.array([segment[:, axis] for segment in found.get_segments()])


def dotted(axis: Axes) -> list[tuple[float, float]]:
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.get_lines() if line.get_linestyle() == ":"]


# -- along a numeric level -------------------------------------------------------------------------


def test_a_sweep_shows_means_and_spreads():
    table, values = sweep(), ["psnr_y_db", "fab"]
    figure = plot_sweep(table, values, "pictures", full=FULL)
    assert len(figure.axes) == 4 and sorted(named(figure)) == ["AdaBM", "uniform"]
    for axis, (value, dataset) in zip(figure.axes, [(v, d) for v in values for d in ("Set5", "Set14")]):
        assert list(errorbars(axis)) == ["AdaBM", "uniform"]
        for name, container in errorbars(axis).items():
            rows = table[(table["dataset"] == dataset) & (table["series"] == name)]
            samples = [rows.loc[rows["level"] == level, value] for level in ("0", "5", "20")]
            means, spreads = (np.array([getattr(s, what)() for s in samples]) for what in ("mean", "std"))
            np.testing.assert_allclose(
                points(container), np.column_stack([[0, 5, 20], means]), err_msg="by number, whatever the order of rows"
            )
            np.testing.assert_allclose(bars(container, 1), np.stack([means - spreads, means + spreads], 1))
        assert dotted(axis) == ([(0, FULL[dataset])] if value == "psnr_y_db" else [])
        assert list(axis.get_xticks()) == [0, 5, 20]
    assert [axis.get_title() for axis in figure.axes] == ["Set5", "Set14", "", ""]
    assert [[tick.get_text() for tick in axis.get_xticklabels()] for axis in figure.axes[2:]] == [["0", "5", "20"]] * 2
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", *["pictures (logarithmic)"] * 2]
    assert [bool(axis.get_ylabel()) for axis in figure.axes] == [True, False, True, False]


def test_what_is_no_number_stands_apart_with_its_name_and_no_line():
    apart = sweep()
    apart = apart.assign(level=apart["level"].replace("20", "at random"))
    figure = plot_sweep(apart, ["fab"], "percentile", log=False, apart={"at random": (50.0, "random")})
    axis = figure.axes[0]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0", "5", "random"]
    lines = [line for line in axis.get_lines() if len(line.get_xdata())]
    joined = [line for line in lines if line.get_linestyle() != "None" and line.get_marker() == "o"]
    assert joined and all(50 not in line.get_xdata() for line in joined)
    assert any(list(line.get_xdata()) == [50] and line.get_linestyle() == "None" for line in lines)
    assert {text.xy[0] for text in figure.axes[1].texts} == {5}, (
        "names lead to the ends of lines, not to what stands apart"
    )


def test_one_seed_has_no_spread():
    container = errorbars(plot_sweep(sweep(seeds=[0]), ["psnr_y_db"], "pictures").axes[0])["AdaBM"]
    assert np.ptp(bars(container, 1), axis=1).tolist() == [0, 0, 0]


def test_a_logarithmic_axis_has_a_place_for_zero():
    levels = ("0", "1", "10", "100")
    log, linear = (plot_sweep(sweep(levels), ["fab"], "pictures", log=log).axes[0] for log in (True, False))
    places = {axis: axis.transData.transform([(float(level), 4) for level in levels])[:, 0] for axis in (log, linear)}
    steps = np.diff(places[log])
    assert (steps > 0).all() and steps[1] == pytest.approx(steps[2]) and steps[0] < steps[1]
    assert np.diff(places[linear])[2] == pytest.approx(10 * np.diff(places[linear])[1])


def test_a_value_that_was_not_measured_is_left_out():
    table = sweep()
    table.loc[(table["series"] == "uniform") & (table["dataset"] == "Set5"), "fab"] = np.nan
    table.loc[(table["series"] == "AdaBM") & (table["level"] == "5"), "fab"] = np.nan
    figure = plot_sweep(table, ["fab"], "pictures")
    first, second = figure.axes
    assert list(errorbars(first)) == ["AdaBM"] and list(errorbars(second)) == ["AdaBM", "uniform"]
    assert list(errorbars(second)["AdaBM"][0].get_xdata()) == [0, 20]
    assert sorted(named(figure)) == ["AdaBM", "uniform"], "beside the last panel, which has both"


def test_names_stand_in_the_order_of_the_lines_and_apart():
    table = sweep(["1", "5"], [f"s{i}" for i in range(6)], ["Set5"], [0])
    table["psnr_y_db"] = 30 + 0.001 * table.index
    figure = plot_sweep(table, ["psnr_y_db"], "pictures")
    assert named(figure) == [f"s{i}" for i in range(6)]
    heights = sorted(text.xyann[1] for text in figure.axes[0].texts)
    assert np.diff(heights).min() > 0.1 and 0 <= heights[0] and heights[-1] <= 1


def test_one_line_needs_no_name():
    assert named(plot_sweep(sweep(series=["AdaBM"]), ["fab"], "pictures")) == []


def test_stretches_of_the_axis_are_named_once():
    shades = [(0, 10, "w"), (10, 20, "a")]
    figure = plot_sweep(sweep(), ["psnr_y_db", "fab"], "step", log=False, shades=shades)
    for index, axis in enumerate(figure.axes):
        assert [(p.get_x(), p.get_x() + p.get_width()) for p in axis.patches] == [(0, 10), (10, 20)]
        texts = [text.get_text() for text in axis.texts if text.get_text() not in ("AdaBM", "uniform")]
        assert texts == (["w", "a"] if index < 2 else [])


def test_many_levels_keep_a_readable_axis():
    levels = [str(level) for level in range(1, 31)]
    axis = plot_sweep(sweep(levels, seeds=[0]), ["fab"], "step", log=False).axes[0]
    assert 4 < len(axis.get_xticks()) < 10
    assert len(errorbars(axis)["AdaBM"][0].get_xdata()) == 30


# -- named levels ----------------------------------------------------------------------------------


def test_levels_stand_in_their_order_with_their_means():
    levels = ["random", "diverse", "adaptive"]
    table = sweep(levels)
    figure = plot_levels(table, "psnr_y_db", "PSNR-Y (dB)", FULL)
    assert len(figure.axes) == 2 and legend(figure) == ["AdaBM", "uniform"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == levels
    for axis, dataset in zip(figure.axes, ("Set5", "Set14")):
        assert list(axis.get_yticks()) == [0, 1, 2] and axis.yaxis_inverted()
        assert axis.get_title() == dataset and dotted(axis)[0][0] == FULL[dataset]
        named = {line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")}
        dots = [line for line in axis.get_lines() if line.get_markerfacecolor() == "none"]
        assert list(named) == ["AdaBM", "uniform"] and len(dots) == 2
        for (name, line), seeds in zip(named.items(), dots):
            rows = table[(table["dataset"] == dataset) & (table["series"] == name)]
            assert np.round(line.get_ydata()).tolist() == [0, 1, 2]
            np.testing.assert_allclose(
                line.get_xdata(), [rows.loc[rows["level"] == level, "psnr_y_db"].mean() for level in levels]
            )
            assert sorted(seeds.get_xdata()) == sorted(rows["psnr_y_db"])
            places = dict(zip(seeds.get_xdata(), np.round(seeds.get_ydata())))
            assert all(levels[int(places[r.psnr_y_db])] == r.level for r in rows.itertuples())
        assert named["AdaBM"].get_ydata()[0] < named["uniform"].get_ydata()[0], "beside each other"


def test_more_series_than_markers():
    names = [f"series {i}" for i in range(11)]
    table = sweep(["1"], names, ["Set5"], [0])
    assert legend(plot_levels(table, "psnr_y_db", "PSNR-Y (dB)")) == legend(plot_frontier(table)) == names
    assert sorted(named(plot_sweep(table, ["psnr_y_db"], "pictures"))) == sorted(names)


# -- colours ---------------------------------------------------------------------------------------


def test_what_is_no_method_has_the_colour_of_none():
    families = family_colors(PRESETS).values()
    for color in (INK, SLATE, WORSE, series_styles(["calibration"])["calibration"]["color"]):
        assert min(np.abs(np.subtract(to_rgb(color), to_rgb(family))).max() for family in families) > 0.1
    parts = series_styles(["images, fine-tuned", "layers, fine-tuned", "layer mapping"])
    assert [style["color"] for style in parts.values()] == [IMAGES, LAYERS, LAYERS]
    several = network_styles(["one", "two", "three"])
    assert len({style["marker"] for style in several.values()}) == 3
    assert all(np.ptp(to_rgb(style["color"])) < 0.2 for style in several.values()), "grays"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_names_stand_apart_in_their_order_and_within(places):
    found, gap = apart(sorted(places), 0.05), 0.05
    assert len(found) == len(places) and all(-1e-9 <= place <= 1 + 1e-9 for place in found)
    assert all(np.diff(found) >= gap - 1e-9)


def test_a_method_has_one_colour_everywhere():
    one = series_styles(["AdaBM", "AdaBM, not fine-tuned", "uniform bits", "layer mapping"])
    other = series_styles(["random", "uniform bits", "AdaBM at own bits, 15 steps"])
    assert one["AdaBM"]["color"] == other["AdaBM at own bits, 15 steps"]["color"] == family_colors(["adabm"])["adabm"]
    assert one["uniform bits"]["color"] == other["uniform bits"]["color"] == family_colors(["minmax"])["minmax"]
    beside = series_styles(["random", "diverse", "hardest", "Fast", "Best"])
    assert [beside[name]["color"] for name in ("Fast", "Best")] == list(family_colors(["fast", "best"]).values())
    assert len({style["color"] for style in beside.values()}) == 5
    assert one["AdaBM, not fine-tuned"]["ls"] == "--" and one["AdaBM"]["ls"] == "-"
    assert one["AdaBM, not fine-tuned"]["marker"] == one["AdaBM"]["marker"]
    alone = series_styles(["AdaBM, not fine-tuned"])
    assert alone["AdaBM, not fine-tuned"] == one["AdaBM"], "pale only beside what is fine-tuned"


# -- many lines ------------------------------------------------------------------------------------


def test_each_of_many_series_has_a_panel_with_the_others_in_gray():
    names = [f"run {i}" for i in range(6)]
    table = sweep(["0", "5", "20"], names, ["Set5"])
    figure = plot_panels(
        table, "loss_db", "step", {("net_x4", "run 0"): [(0, 10, "w")]}, {("net_x4", "run 1"): "worse"}
    )
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["run 0", "run 1\nworse", *names[2:]] and len(figure.axes) == 8
    assert [[text.get_text() for text in axis.texts] for axis in shown] == [["w"], *[[]] * 5]
    for axis, name in zip(shown, names):
        rows = table[table["series"] == name]
        (container,) = [c for c in axis.containers if isinstance(c, ErrorbarContainer)]
        means = [rows.loc[rows["level"] == level, "loss_db"].mean() for level in ("0", "5", "20")]
        np.testing.assert_allclose(points(container)[:, 1], means)
        assert len([line for line in axis.get_lines() if line.get_color() == "0.8"]) == 5


def test_networks_have_rows_and_axes_of_their_own():
    one, other = sweep(["0", "5"], [f"run {i}" for i in range(5)], ["Set5"]), sweep(["0", "90"], ["x"], ["Set14"])
    table = pd.concat([one, other.assign(backbone="other_x4", setting="W6A6 FQ")])
    figure = plot_panels(table, "loss_db", "step")
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_ylabel() for axis in shown] == ["net_x4\nW4A4 FQ", *[""] * 4, "other_x4\nW6A6 FQ"]
    assert [axis.get_subplotspec().rowspan.start for axis in shown] == [0, 0, 0, 0, 1, 2]
    assert len({axis.get_xlim() for axis in shown[:5]}) == 1 and shown[5].get_xlim()[1] > 90 > shown[0].get_xlim()[1]
    assert not [line for line in shown[5].get_lines() if line.get_color() == "0.8"], "no lines of another network"
    assert "(Set5, Set14)" in figure.get_supxlabel()


# -- quality against bits --------------------------------------------------------------------------


def test_the_frontier_goes_through_the_means_in_order_of_bits():
    table = sweep(["8", "3", "4"])
    figure = plot_frontier(table)
    assert len(figure.axes) == 2 and legend(figure) == ["AdaBM", "uniform"]
    for axis, dataset in zip(figure.axes, ("Set5", "Set14")):
        assert (
            axis.get_title().split(", ")[1:] == [dataset, "fine-tuned"]
            and axis.yaxis_inverted()
            and axis.get_yscale() == "log"
        )
        for name, container in errorbars(axis).items():
            grouped = table[(table["dataset"] == dataset) & (table["series"] == name)].groupby("level")[
                ["fab", "loss_db"]
            ]
            means = grouped.mean().sort_values("fab")
            spreads = grouped.std().loc[means.index]
            np.testing.assert_allclose(points(container), means)
            for index, value in enumerate(("fab", "loss_db")):
                np.testing.assert_allclose(
                    bars(container, index), np.stack([means[value] - spreads[value], means[value] + spreads[value]], 1)
                )


def test_what_is_fine_tuned_has_a_row_of_its_own():
    figure = plot_frontier(sweep(["3", "4"], ["AdaBM", "uniform bits", "AdaBM, not fine-tuned"], ["Set5"]))
    assert [list(errorbars(axis)) for axis in figure.axes] == [["AdaBM", "uniform bits"], ["AdaBM, not fine-tuned"]]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim() and figure.axes[0].yaxis_inverted()
    assert [axis.get_title().rpartition("Set5, ")[2] for axis in figure.axes] == ["fine-tuned", "not fine-tuned"]
    assert all("less above" in axis.get_ylabel() for axis in figure.axes)


def test_columns_may_have_axes_of_their_own_and_a_legend_above():
    table = sweep()
    table.loc[table["dataset"] == "Set14", "fab"] += 2.0
    shared, own = (
        plot_sweep(table, ["psnr_y_db", "fab"], "step", log=False, own=of, legend=bool(of)) for of in ((), ["fab"])
    )
    limits = lambda figure, row: [axis.get_ylim() for axis in figure.axes[2 * row : 2 * row + 2]]
    assert len(set(limits(shared, 0))) == len(set(limits(shared, 1))) == len(set(limits(own, 0))) == 1
    assert len(set(limits(own, 1))) == 2
    assert named(own) == [] and [text.get_text() for text in own.legends[0].get_texts()] == ["AdaBM", "uniform"]
