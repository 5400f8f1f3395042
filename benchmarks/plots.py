"""Plots as SVG files that differ from the last time only where figures do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "modelpress", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402 - the backend comes first
from matplotlib.figure import Figure  # noqa: E402

_OURS, _THEIRS, _OTHER = "#1b6ca8", "#b8b8b8", ("#d1603d", "#e0a458", "#7a7a7a")


def bars(path: Path, title: str, values: Mapping[str, float], unit: str, ours: Sequence[str]) -> str:
    """Horizontal bars, ours in colour. Returns the Markdown that shows the plot."""
    figure, axes = plt.subplots(figsize=(7.2, 0.6 + 0.34 * len(values)))
    names = list(values)[::-1]
    colours = [_OURS if name in ours else _THEIRS for name in names]
    drawn = axes.barh(names, [values[name] for name in names], color=colours)
    axes.bar_label(drawn, fmt=lambda value: f" {value:,.3g} {unit}")
    axes.margins(x=0.18)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    return _save(figure, path, title)


def curves(
    path: Path,
    title: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    labels: tuple[str, str],
    level: float,
) -> str:
    """One line a name, the first one ours; points of several runs share a name by `name#number`."""
    figure, axes = plt.subplots(figsize=(7.2, 3.2))
    names = list(dict.fromkeys(name.partition("#")[0] for name in lines))
    colour = {name: _OURS if i == 0 else _OTHER[(i - 1) % len(_OTHER)] for i, name in enumerate(names)}
    for key, points in lines.items():
        name = key.partition("#")[0]
        label = name if key == name or key.endswith("#0") else None
        axes.plot(*zip(*points, strict=True), color=colour[name], label=label, linewidth=1.4, alpha=0.85)
    axes.axhline(level, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _save(figure, path, title)


def _save(figure: Figure, path: Path, title: str) -> str:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return f"![{title}]({path.parent.name}/{path.name})"
