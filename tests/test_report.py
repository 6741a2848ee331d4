"""The report: complete in itself, escaped, the same bytes for the same results."""

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from test_summary import row as cell
from test_summary import summary as evaluation_summary

from adabm.errors import TableError
from adabm.study import save_figure
from adabm.study.answers import calibration, questions
from adabm.study.pages import sections
from adabm.study.pages.embedding import embedded
from adabm.study.pages.report import write_report
from adabm.study.pages.scope import calibrated_on, measured_on, patches_told, recipes_told
from adabm.study.pages.sections import evaluated, studied
from adabm.study.tables.conclusion import advised, evidence, practice
from adabm.study.tables.schema import read_study_table, study_table
from adabm.study.tables.study_summary import summarize_study
from helpers.pages import ROOT
from helpers.study_tables import row, write_results

VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Elements with their attributes and the text; complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words, self.open = "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float)


def render(results, title="A study", pictures="") -> str:
    tables = [read_study_table(q.table(results)) for q in questions() if q.table(results).is_file()]
    study = study_table(
        r for table in tables for r in table.astype(object).where(table.notna(), None).to_dict("records")
    )
    write_report(results, study, summarize_study(study), title, questions(), pictures)
    return (results / "report" / "report.html").read_text()


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path, "set_size", "timing")


def test_page_needs_nothing_outside(results):
    shutil.copy(results / "timing" / "timing.png", results / "set_size" / "set_size_spread.png")
    text = render(results)
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert "url(" not in text and "@import" not in text
    drawn = [pixels(base64.b64decode(i["src"].removeprefix("data:image/webp;base64,"))) for i in page.all("img")]
    for image, name in zip(drawn, ("set_size/set_size", "set_size/set_size_spread", "timing/timing"), strict=True):
        expected = pixels((results / f"{name}.png").read_bytes())
        assert image.shape == expected.shape and np.abs(image - expected).max() < 32, name
    assert all(image["alt"] for image in page.all("img")) and len({image["alt"] for image in page.all("img")}) == 3
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for link in page.all("a"):
        target = link["href"]
        if target.startswith("http"):
            assert target.startswith("https://arxiv.org/")
        elif target.startswith("#"):
            assert target[1:] in ids
        else:
            assert (results / "report" / target).is_file(), target


def test_a_link_needs_a_file(results):
    assert "03_set_size.ipynb" not in render(results)
    (results / "set_size" / "03_set_size.ipynb").write_text("{}")
    assert 'href="../set_size/03_set_size.ipynb"' in render(results)


def test_same_results_give_the_same_bytes(results):
    first = render(results)
    record = results / "set_size" / "set_size.provenance.json"
    text = re.sub(r'"(date|git_commit)": ("[^"]*"|null)', r'"\1": "another"', record.read_text())
    assert text.count("another") == 2
    record.write_text(text)
    assert render(results) == first
    record.write_text(re.sub(r'"cpu": "[^"]*"', '"cpu": "Another processor"', text))
    assert render(results) != first


def test_texts_are_escaped(results):
    (results / "set_size" / "conclusion.md").write_text(
        "It *gains* <script>alert(1)</script> 3 < 4.\n\n![a picture](https://example.org/x.png) [bad](javascript:alert(1))\n"
    )
    text = render(results, title="<b>Bold</b> & co", pictures="Calibrated on <i>a</i> & b.")
    assert "<p>Calibrated on &lt;i&gt;a&lt;/i&gt; &amp; b.</p>" in text.split("</header>")[0]
    page = Page(text)
    assert page.all("script") == [] and page.all("b") == [] and len(page.all("em")) >= 1
    assert "<script>alert(1)</script> 3 < 4." in page.words and "<b>Bold</b> & co" in page.words
    assert all(not link["href"].startswith("javascript") for link in page.all("a")) and "example.org" not in "".join(
        i["src"] for i in page.all("img")
    )


def test_the_leaderboard_leads_to_the_tables_of_speed(results):
    (results / "report").mkdir(exist_ok=True)
    shutil.copy(ROOT / "results" / "demo" / "report" / "leaderboard.csv", results / "report")
    link = 'href="../../speed/engines/README.md"'
    assert link not in render(results)
    shutil.copytree(ROOT / "results" / "speed" / "engines", results.parent / "speed" / "engines")
    text = render(results)
    assert link in text and "Every network" in text
    assert '<th scope="col" class="n">in integers</th>' in text and "<dt>In integers</dt>" in text


def test_each_question_tells_its_state(results):
    page = Page(render(results))
    for question in questions():
        assert question.heading in page.words and question.explanation in page.words
    assert page.words.count("With 20 pictures, set_size loses 1.05 dB.") == 2, "in front, and on its page"
    for section in re.findall(
        r"<section id=\"(\w+)\">(.*?)</section>", (results / "report" / "report.html").read_text(), re.DOTALL
    ):
        if section[0] in {q.id for q in questions()}:
            assert ('class="notrun"' in section[1]) == (section[0] not in ("set_size", "timing"))
            assert ("<details" in section[1]) == (section[0] in ("set_size", "timing"))


def test_tables_carry_id_and_version(results):
    version = json.loads((results / "set_size" / "set_size.provenance.json").read_text())["version"]
    words = Page(render(results)).words
    assert f"Table test/set_size, version {version}" in words and f"table test/set_size, version {version}." in words


def test_damaged_provenance_is_no_obstacle(results):
    (results / "set_size" / "set_size.provenance.json").write_text("{")
    (results / "timing" / "timing.provenance.json").write_text('{"packages": 3}')
    assert "Table test/set_size" in Page(render(results)).words


def test_main_results_are_shown_by_method_and_set(results):
    assert 'id="evaluation"' in render(results) and "AdaBM without clipping" not in render(results)
    measured = [
        cell("fp32", psnr=32.0),
        cell("adabm", psnr=31.5),
        cell("fp32", psnr=29.0, dataset="Set14"),
        cell("adabm", psnr=28.25, dataset="Set14"),
    ]
    (results / "evaluation").mkdir()
    evaluation_summary(*measured).to_csv(results / "evaluation" / "evaluation_summary.csv", index=False)
    text = render(results)
    assert "net: PSNR-Y (dB)" in text
    assert re.search(r"<td>AdaBM</td><td class=\"n\">31.50</td><td class=\"n\">28.25</td>", text)


def test_a_page_has_the_answer_in_front_and_the_rest_folded_away(results):
    (results / "set_size" / "conclusion.md").write_text(
        "**Five are enough.** Of 100.\n\nMore do not harm.\n\n*In practice:* take 20.\n\n| n | p |\n|:--|--:|\n| 1 | 0.03 |\n"
    )
    text = render(results)
    assert text.count("Five are enough.") == 2 and '<p class="answer">Five are enough.</p>' in text
    assert "<strong>What follows for practice.</strong> Take 20." in text
    (folded,) = re.findall(
        "<summary>The whole conclusion, and how sure it is</summary>(.*?)</details>", text, re.DOTALL
    )
    assert "<p>Of 100.</p>" in folded and "<p>More do not harm.</p>" in folded and "0.03</td>" in folded
    assert "What follows for practice" not in text.partition('id="timing"')[2], "nothing is said where nothing follows"


def test_a_table_of_advice_stands_in_the_open(results):
    advice = "\n\n".join(
        [practice("take few."), *advised([{"network": "net", "steps": "7"}]), *evidence([{"p": "0.03"}])]
    )
    (results / "set_size" / "conclusion.md").write_text(f"**Five.**\n\n{advice}\n")
    text = render(results)
    (open_to_all,) = re.findall('<div class="practice">(.*?)<details>', text, re.DOTALL)
    assert "<td>7</td>" in open_to_all.replace(' style="text-align:left"', "") and "0.03" not in open_to_all


def test_drawings_are_embedded_in_few_colours_and_no_pixel_of_a_picture_differs_by_more_than_two(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    drawing, picture = tmp_path / "drawing.png", tmp_path / "picture.png"
    Image.fromarray(noise).save(drawing)
    figure = Figure(figsize=(1, 1), layout="none")
    figure.add_axes((0, 0, 1, 1)).imshow(noise)
    save_figure(figure, picture)
    for path, close in ((drawing, False), (picture, True)):
        found, expected = pixels(base64.b64decode(embedded(path).partition(",")[2])), pixels(path.read_bytes())
        assert embedded(path) == embedded(path) and found.shape == expected.shape
        assert (np.abs(found.astype(int) - expected).max() <= 2) == close
    assert len(embedded(drawing)) < drawing.stat().st_size / 2


def test_a_long_table_is_linked_to(results, monkeypatch):
    assert "too long for a page" not in render(results)
    monkeypatch.setattr(sections, "_READ", 1)
    assert "too long for a page" in render(results)


def test_figures_of_a_longer_id_are_not_taken(results):
    save_figure(Figure(figsize=(1, 1)), results / "set_size" / "set_size_two")
    save_figure(Figure(figsize=(1, 1)), results / "set_size_two" / "set_size_two")
    first = questions()[0]
    assert [path.name for path in first.figures(results)] == ["set_size.png", "set_size_two.png"]
    assert replace(first, id="set_size_two").figures(results) == [results / "set_size_two" / "set_size_two.png"]


def test_folded_figures_are_told_in_words_of_the_question(results):
    time = next(question for question in questions() if question.id == "set_size").others["time"]
    save_figure(Figure(figsize=(1, 1)), results / "set_size" / "set_size_time")
    save_figure(Figure(figsize=(1, 1)), results / "set_size" / "set_size_other_one")
    text = render(results)
    assert f'alt="{time}"' in text and "calibration pictures: other one" in text and "pictures: time" not in text


def test_an_unreadable_conclusion_is_named(results):
    (results / "timing" / "conclusion.md").write_bytes(b"\xff\xfe")
    with pytest.raises(TableError, match="timing/conclusion.md: cannot be read"):
        render(results)


def test_studied_names_networks_settings_sets_and_seeds():
    rows = [row(), row(setting="W8A6", seed=2), row(setting="FP32", dataset="Set14")]
    assert studied(study_table(rows)).startswith(
        "The questions quantize net_x4 at W4A4 FQ and W8A6, measured on Set5 and Set14 with seeds 0 and 2. "
    )


def test_evaluated_names_what_the_leaderboard_evaluates():
    board = pd.DataFrame(
        {
            "backbone": ["one", "one", "edsr_f64b16_x4"],
            "setting": ["W4A4 FQ", "W8A8 FQ", "W4A4 FQ"],
            "dataset": ["Set5", "Set5", "Set14"],
        }
    )
    assert evaluated(board) == (
        "The leaderboard evaluates one and EDSR-baseline (edsr_f64b16_x4) at W4A4 FQ and W8A8 FQ on Set5 and Set14."
    )
    assert evaluated(None) == evaluated(board.head(0)) == ""


def test_seeds_that_differ_between_series():
    row = dict(
        backbone="one",
        dataset="Set5",
        setting="W4A4 FQ",
        status="measured",
        pictures=5,
        psnr_y_db=30.0,
        variable="steps",
    )
    series = lambda name, seeds, level="1": [row | dict(series=name, level=level, seed=seed) for seed in range(seeds)]
    told = lambda *rows: measured_on(pd.DataFrame([row for some in rows for row in some]))
    assert told(series("a", 3), series("b", 1)) == "Measured at W4A4 FQ on one (3 seeds, 1 for “b”, 5 pictures); Set5."
    assert told(series("a", 3), series("b", 3)) == "Measured at W4A4 FQ on one (3 seeds, 5 pictures); Set5."
    several = told(series("a", 1), series("b", 3), series("c", 2))
    assert several == "Measured at W4A4 FQ on one (1 to 3 seeds by series, 5 pictures); Set5."
    within = told(series("a", 3), series("a", 2, "2"))
    assert within == "Measured at W4A4 FQ on one (2 to 3 seeds by series, 5 pictures); Set5."
    recipes = [{**one, "method": one["series"]} for one in [*series("a", 1), *series("b", 2), *series("c", 3)]]
    evaluation = pd.DataFrame(recipes).drop(columns=["series", "variable", "level"])
    assert measured_on(evaluation) == "Measured at W4A4 FQ on one (1 to 3 seeds by recipe, 5 pictures); Set5."
    assert measured_on(evaluation, {"more_sets": ["B", "U"]}).endswith("; Set5 (bits also on B and U).")


@pytest.mark.parametrize(
    "parameters, told",
    [
        ({}, ""),
        (None, ""),
        ({"preset": "adabm", "methods": 4}, "Recipe: AdaBM (adabm)."),
        ({"method": "adabm-own-bits"}, "AdaBM is here the recipe adabm-own-bits: each weight range"),
        ({"methods": {"a": {"method": "adabm-own-bits", "changes": {"tune": None}}, "b": "fast"}}, "recipe. Beside it: Fast (fast)."),
        ({"methods": ["adabm-own-bits", "adabm"]}, "Recipes: AdaBM, weight ranges at own bits (adabm-own-bits) and AdaBM (adabm)."),
        ({"runs": {"a": {"preset": "adabm"}, "b": {"preset": "adabm"}}}, "Recipe: AdaBM (adabm)."),
    ],
)  # fmt: skip
def test_which_adabm_a_question_means(parameters, told):
    found = recipes_told(parameters)
    assert told in found and bool(found) == bool(told)


def test_patches_of_a_plan_are_told_with_those_that_differ():
    effort = dict(patches=100, patch_size=96)
    plan = [
        dict(backbone="net", methods=["adabm"]),
        dict(backbone="a/dat_light_x4.safetensors", methods=["fast"], patch_size=48),
    ]
    plan += [dict(backbone="dat_light_x4", methods=["minmax", "fast"], patch_size=48)]
    told = "Models are calibrated on 100 patches of 96x96 low-resolution pixels"
    assert (
        patches_told(dict(effort=effort, plan=plan)) == f"{told}, DAT-light with Fast and MinMax on patches of 48x48."
    )
    assert patches_told(dict(effort=effort, plan=plan[:1])) == f"{told}."
    assert patches_told(dict(plan=plan)) == patches_told(None) == ""


def test_the_page_of_one_calibration_tells_what_it_was_measured_on_and_what_follows():
    plan = dict(backbone="edsr_f32b8_x4", sets=["Set5"], settings=["W4A4 FQ"], seeds=[0], effort=dict(patches=48))
    assert calibrated_on(plan) == "Measured on EDSR-small at W4A4 FQ (1 seed, calibrated on 48 patches); Set5."
    assert (
        calibrated_on({}) == "" and calibrated_on({"backbone": "weights/mine_x3.safetensors"}) == "Measured on mine_x3."
    )
    layers = pd.DataFrame(
        dict(policy=["fixed", "adaptive", "adaptive"], initial_factor=[0, 1, -1], tuned_factor=[1, 1, -1])
    )
    layers["layer"] = ["first", "a", "b"]
    assert calibration.advice(layers) == (
        "To see which layers get other bits than the base, calibrate without fine-tuning: here it kept those of all 2 layers. a gets more; "
        "b gets fewer."
    )
    assert calibration.advice(layers.assign(tuned_factor=0)).endswith(
        "here it changed those of 2 of 2 layers. All layers get the base bits."
    )


def test_a_page_says_by_which_other_version_its_table_was_measured(results):
    assert "was measured by version" not in render(results)
    record = results / "set_size" / "set_size.provenance.json"
    told = json.loads(record.read_text()) | {"adabm_version": "0.1.9"}
    record.write_text(json.dumps(told))
    assert render(results).count("The table was measured by version 0.1.9 of the code, not by ") == 1


def test_a_question_tells_networks_seeds_and_pictures():
    def rows(backbone, seeds, pictures, setting="W4A4 FQ"):
        return [
            {"backbone": backbone, "dataset": name, "setting": setting, "seed": seed, "status": "measured"}
            | {"pictures": count, "psnr_y_db": 30.0}
            for seed in range(seeds)
            for name, count in pictures.items()
        ]

    table = [
        *rows("one", 5, {"Set5": 5, "Urban100": 3}),
        *rows("two", 1, {"Set5": 1}),
        *rows("one", 9, {"X": 9}, "FP32"),
    ]
    told = "Measured at W4A4 FQ on one (5 seeds, 8 pictures) and two (1 seed, 1 picture); Set5 and Urban100."
    assert measured_on(pd.DataFrame(table)) == told
    assert measured_on(pd.DataFrame(table).assign(status="not run")) == ""
    table += rows("THREE_x4", 2, {"Set5": 2}, "W6A6 FQ")
    changes = {"tune": None, "clip": None}
    plan = {"backbones": {"data/one.safetensors": {}, "three_x4": {"side": 16}}, "side": 32, "changes": changes}
    assert measured_on(pd.DataFrame(table), plan) == (
        "Measured on one (W4A4 FQ, 5 seeds, 8 patches of 32x32), two (W4A4 FQ, 1 seed, 1 patch of 32x32) and THREE_x4 "
        "(W6A6 FQ, 2 seeds, 2 patches of 16x16); Set5 and Urban100; not fine-tuned."
    )
    told = lambda methods: measured_on(pd.DataFrame(table), {"methods": methods}).endswith("; not fine-tuned.")
    assert told({"a": {"changes": changes}}) and not told({"a": {"changes": changes}, "b": {"method": "adabm"}})
    timed = pd.DataFrame(rows("one", 1, {"none": None})).assign(psnr_y_db=float("nan"))
    assert measured_on(timed) == "Measured at W4A4 FQ on one (1 seed)."


def test_the_size_of_calibration_patches_is_told_with_the_networks_that_have_another():
    keys = dict(
        backbone="one", dataset="Set5", setting="W4A4 FQ", seed=0, status="measured", pictures=5, psnr_y_db=30.0
    )
    told = lambda **given: measured_on(pd.DataFrame([keys]), {"effort": {"patch_size": 96}, **given})
    assert told().endswith("; Set5; calibrated on patches of 96x96.")
    backbones = {"data/One_x4.safetensors": {"patch_size": 48}, "two": {"patch_size": 48}, "three": {}}
    assert told(backbones=backbones).endswith("; calibrated on patches of 96x96, One_x4 and two of 48x48.")
    assert "calibrated" not in told(effort={})


def test_a_question_of_whole_recipes_tells_how_long_adabm_is_tuned():
    keys = dict(
        backbone="one", dataset="Set5", setting="W4A4 FQ", seed=0, status="measured", pictures=5, psnr_y_db=30.0
    )
    table = pd.DataFrame([keys])
    effort = {"patch_size": 40, "rounds": 3, "steps_per_round": 5}
    told = lambda methods: measured_on(table, {"methods": methods, "effort": effort})
    assert told({"MinMax": "minmax", "AdaBM": "adabm"}).endswith("; AdaBM fine-tuned for 15 steps.")
    assert "steps" not in told({"AdaBM": {"method": "adabm"}}), "whose changes may give it other steps"


def test_what_pages_advise_on_the_parts_of_adabm_stands_together(tmp_path):
    results = write_results(tmp_path, "set_size", "stopping")
    (results / "set_size" / "conclusion.md").write_text("**Five.**\n\n*In practice:* take 20.\n")
    assert "What follows for who uses AdaBM" not in render(results), "one page alone"
    (results / "stopping" / "conclusion.md").write_text("**Stop.**\n\n*In practice:* hold some out.\n")
    (listed,) = re.findall(r"What follows for who uses AdaBM:(.*?)</dl>", render(results), re.DOTALL)
    assert re.findall(r"<dt>(.*?)</dt>", listed) == ["State of fine-tuning to keep", "Calibration pictures"]
    assert "Hold some out." in listed and "Take 20." in listed and 'href="#set_size"' in listed
