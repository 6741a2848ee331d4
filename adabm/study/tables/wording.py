"""What is called clear, and how several things are listed, wherever the study tells of them."""

from collections.abc import Iterable, Sequence

SIGNIFICANT = 0.05  # p values below it


def told_count(count: int, one: str) -> str:
    """Return a number with what is counted: ``1 seed``, ``5 seeds``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def least_to_most(values: Iterable[float], form: str = ".2f") -> str:
    """Tell between what values lie, once where both ends read alike: ``0.55 to 2.16``, ``7%``."""
    values = list(values)
    return " to ".join(dict.fromkeys(f"{end:{form}}" for end in (min(values), max(values))))


def several(texts: Sequence[str]) -> str:
    """Join texts as a sentence lists them: ``a, b and c``."""
    return ", ".join(texts[:-1]) + " and " + texts[-1] if len(texts) > 1 else texts[0]
