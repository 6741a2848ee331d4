"""What the figure of the main results shows: a panel a setting, the first set filled with its loss, the others small and open."""

import pandas as pd
from test_summary import PUBLISHED, SAME_AS
from test_summary import row as cell
from test_summary import summary as evaluation_summary

from adabm.recipes import shipped
from adabm.study import comparison_markdown, with_published
from adabm.study.answers import evaluation
from adabm.study.pages.evaluation_figures import plot_losses, plot_psnr_bitops
from adabm.study.pages.figures import family_color, family_colors
from adabm.study.pages.timing_figure import plot_parts
from adabm.study.tables.networks import named, network
from pipelines.stages.numbers import evaluation_numbers


def test_losses_are_told_in_the_colour_of_the_method():
    cells = [cell("fp32", psnr=32.0), cell("adabm", psnr=31.5), cell("minmax", psnr=30.0)]
    cells += [cell("fp32", psnr=29.0, dataset="Set14"), cell("adabm", psnr=28.25, dataset="Set14")]
    summary = evaluation_summary(*cells)
    summary["published_loss_db"] = [1.0 if name == "adabm" else None for name in summary["method"]]
    figure = plot_losses(summary)
    (axis,) = figure.axes
    assert figure.get_suptitle() == "net" and axis.get_title() == "W4A4 FQ"
    assert plot_losses(summary.assign(backbone="srresnet_bn_x4")).get_suptitle() == "SRResNet"
    assert not figure.legends and axis.get_legend() is None
    assert sorted(text.get_text() for text in axis.texts) == ["0.50", "2.00"]
    dots = {line.get_color() for line in axis.get_lines() if line.get_marker() == "o"}
    assert set(family_colors(["adabm", "minmax"]).values()) <= dots
    assert (
        next(line.get_markeredgecolor() for line in axis.get_lines() if line.get_markerfacecolor() == "none") == "0.5"
    )
    (diamonds,) = [line for line in axis.get_lines() if line.get_marker() == "D"]
    assert list(diamonds.get_xdata()) == [1.0], "of the first set"
    assert "filled Set5; small triangles Set14; diamonds: published, Set5" in figure.get_supxlabel()


def test_full_precision_alone_is_told_in_place_of_a_panel():
    """As where the plan asks for no other method, or none was run."""
    alone = evaluation_summary(cell("fp32", psnr=32.0))
    for figure in (plot_losses(alone), plot_psnr_bitops(alone)):
        assert not figure.axes and [t.get_text() for t in figure.texts] == ["No quantized network was measured."]


def test_parts_are_told_by_their_median():
    parts = {"quantizing": {"clipping": [3.0, 2.0, 40.0]}, "upscaling x": {"full precision": [0.5], "adaptive": [12.0]}}
    (axis,) = plot_parts(parts).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["clipping", "full precision", "adaptive"]
    assert [text.get_text() for text in axis.texts] == ["quantizing", "3 s", "upscaling x", "0.5 s", "12 s"]


def test_networks_are_called_as_people_call_them():
    assert network("edsr_f64b16_x4") == "EDSR-baseline" and network("mine_x3") == "mine_x3"
    table = pd.DataFrame({"backbone": ["DAT_light_x4", "mine_x3"]})
    assert list(named(table)["backbone"]) == ["DAT-light", "mine_x3"] and named(table[[]]).empty


def test_each_shipped_family_has_a_colour_of_its_own_whatever_is_drawn_with_it():
    families = {recipe.family for recipe in shipped().values()}
    assert len({family_color(family) for family in families}) == len(families)
    assert family_colors(["dobi"])["dobi"] == family_colors(["minmax", "oaq-sr", "dobi"])["dobi"]


def test_several_engines_are_not_taken_for_one():
    """The last of them stood in the main numbers, and means over all of them below the pictures."""
    rows = [cell("fp32", psnr=32.0), cell("minmax", psnr=30.0)]
    rows = [row | {"engine": "simulated"} for row in rows] + [cell("minmax", psnr=20.0) | {"engine": "onnx"}]
    summary = with_published(evaluation_summary(*rows), PUBLISHED, SAME_AS)
    assert evaluation_numbers(summary)["Set5"]["W4A4 FQ minmax"]["psnr_y_db"] == 30.0
    assert [line.split("|")[3].strip() for line in comparison_markdown(summary).splitlines()[3:]] == [
        "MinMax",
        "MinMax (onnx)",
    ]
    assert [text.get_text() for text in plot_losses(summary).axes[0].texts] == ["2.00"]
    assert len(plot_psnr_bitops(summary).axes[0].get_yticklabels()) == 1
    pictures = pd.DataFrame(rows).assign(picture="a")
    assert list(evaluation.losses_by_picture(pictures)["a"]) == [2.0, 12.0]
