"""The study's tables as people read them: text in every cell, as Markdown and LaTeX."""

import re
from dataclasses import dataclass

import pandas as pd

from ...full_precision import FULL_PRECISION_SETTING
from ..running.runs import MEASURED
from .networks import series
from .question import Question
from .schema import TEXT_KEYS

_VALUES: dict[str, tuple[str, str]] = {  # heading and format of each column of the summary
    "calibration_pictures": ("calibration pictures", "g"),
    "psnr_y_db": ("PSNR-Y (dB)", "z.2f"),
    "ssim_y": ("SSIM-Y", ".4f"),
    "loss_db": ("loss (dB)", "z.2f"),
    "fab": ("FAB (simulated bits)", ".2f"),
    "relative_bitops": (f"BitOPs of {FULL_PRECISION_SETTING} (theoretical)", ".3f"),
    "seconds_median": ("median time (s, measured)", ".4g"),
    "seconds_iqr": ("IQR (s)", ".2g"),
    "peak_mib": ("peak memory (MiB, measured)", ".0f"),
    "seeds": ("seeds", "d"),
    "samples": ("times", "d"),
}
_HEADINGS = {"backbone": "network", "dataset": "set"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": r"$-$",
    "→": r"$\rightarrow$",
    "∞": r"$\infty$",
    "·": r"$\cdot$",
    "σ": r"$\sigma$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "Δ": r"$\Delta$",
    "λ": r"$\lambda$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
}


@dataclass(frozen=True)
class ReadableTable:
    """Cells of text, its title, how many of the first columns are words, what all rows share, and what stands below."""

    cells: pd.DataFrame
    title: str
    words: int
    shared: str = ""
    note: str = ""

    @property
    def caption(self) -> str:
        return f"{self.title} {self.shared}".strip()

    def markdown(self) -> str:
        """A table in Markdown, under its caption and above its note."""
        sides = ("left",) * self.words + ("right",) * (self.cells.shape[1] - self.words)
        escaped = self.cells.map(_markdown_text).rename(columns=_markdown_text)
        table = escaped.to_markdown(index=False, disable_numparse=True, colalign=sides)
        return f"{_markdown_text(self.caption)}\n\n{table}\n" + (
            f"\n{_markdown_text(self.note)}\n" if self.note else ""
        )

    def latex(self, label: str) -> str:
        """An environment ``longtable`` with the rules of booktabs, escaped; it may cover several pages."""
        sides = "l" * self.words + "r" * (self.cells.shape[1] - self.words)
        escaped = self.cells.map(latex_text).rename(columns=_latex_heading)
        text = escaped.to_latex(
            index=False,
            escape=False,
            column_format=sides,
            caption=latex_text(self.caption),
            label=label,
            longtable=True,
        )
        return f"{{\\footnotesize\n\\setlength{{\\tabcolsep}}{{3pt}}\n{text}}}\n"


def readable(question: Question, summary: pd.DataFrame) -> ReadableTable:
    """Turn the summary of one question into text; columns without a value are left out, what is one text for all goes to the caption.

    Args:
        summary: the rows of ``summarize_study`` for this question, at least one.
    """
    columns: dict[str, list[str]] = {}
    shared: list[str] = []
    for name in TEXT_KEYS[1:]:
        texts = [series(text) for text in summary[name]] if name == "series" else list(summary[name])
        if name in ("backbone", "dataset", "setting") and len(set(texts)) == 1:
            shared.append(texts[0])
        elif name != "variable":
            columns[_HEADINGS.get(name, name)] = texts
    variables = list(dict.fromkeys(summary.loc[summary["setting"] != FULL_PRECISION_SETTING, "variable"])) or ["level"]
    levels = columns.pop("level")
    if len(variables) > 1:
        columns["variable"], columns["level"] = list(summary["variable"]), levels
    else:
        columns[variables[0] if variables[0] not in columns else "level"] = levels
    if (summary["status"] != MEASURED).any():
        columns["status"] = list(summary["status"])
    words = len(columns)
    for name, (heading, form) in _VALUES.items():
        if name == "samples" and (summary[name] <= 1).all():
            continue
        texts = [_cell(row, name, form) for _, row in summary.iterrows()]
        swept = name == "calibration_pictures" and all(text in ("", level) for text, level in zip(texts, levels))
        if any(texts) and not swept:
            columns[heading] = texts
    return ReadableTable(pd.DataFrame(columns), question.heading, words, f"{', '.join(shared)}." if shared else "")


def latex_text(text: str) -> str:
    """Escape what LaTeX would not print as it stands."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_heading(text: str) -> str:
    """A unit goes to a second line, so that the table fits a page."""
    first, bracket, rest = latex_text(text).partition(" (")
    return f"\\shortstack{{{first}\\\\({rest}}}" if bracket else first


def _cell(row: pd.Series, name: str, form: str) -> str:
    value = row[name]
    if pd.isna(value) or (name in ("seeds", "samples") and row["status"] != MEASURED):
        return ""
    text = format(value, form)
    spread = {"psnr_y_db": "psnr_std_db", "fab": "fab_std"}.get(name)
    return f"{text} ± {format(row[spread], form)}" if spread and pd.notna(row[spread]) else text


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*_<`\[\]])", r"\\\1", text)


def by_bits(setting: str) -> tuple[list[int], str]:
    """A key that sorts settings such as ``W4A4 FQ`` by their bits, the fewest first."""
    return [int(bits) for bits in re.findall(r"\d+", setting)], setting
