"""Pictures: what the tables say, drawn; they lie beside the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.iterations import Outcome
from benchmarks.problems import count
from benchmarks.table import picture

COLOURS = {
    "sklearn": "#888888",
    "emgmm": "#c8553d",
    "emgmm-numpy": "#e6a57e",
    "onedal": "#2a6f97",
    "pomegranate": "#6a994e",
    "torchgmm": "#8d6cab",
    "gmmx": "#b08900",
    "tgmm": "#3d9a9b",
    "armadillo": "#555555",
}
DPI = 100


def canvas(width: float, height: float, panels: int = 1, columns: int = 1) -> Any:
    """A figure that needs no screen, and its axes, row by row."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    rows = -(-panels // columns)
    axes = drawing.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[panels:]:
        ax.remove()
    return drawing, axes[:panels]


def kept(drawing: Any, path: Path, alt: str) -> str:
    """Save it, and refer to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=DPI, metadata={"Software": None})
    return picture(path.name, alt)


def ratios(outcomes: Sequence[Outcome], path: Path) -> str:
    """One line for each problem: how many times as fast as the reference each library is."""
    drawing, (ax,) = canvas(8, 1.2 + 0.3 * len(outcomes))
    drawn = set()
    for place, outcome in enumerate(outcomes):
        for name in outcome.turns:
            if name != outcome.reference and outcome.agrees(name):
                colour = COLOURS.get(name, "black")
                label = None if name in drawn else name
                ax.plot(outcome.ratio(name, "iteration"), place, "o", color=colour, label=label)
                drawn.add(name)
    ax.axvline(1, color=COLOURS["sklearn"], linewidth=1)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(range(len(outcomes)), [outcome.problem.name for outcome in outcomes])
    ax.set_ylim(len(outcomes) - 0.5, -0.5)
    ax.grid(axis="y", linewidth=0.3)
    ax.set_xlabel("times as fast as scikit-learn, one EM iteration")
    if drawn:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return kept(
        drawing,
        path,
        "For each problem, a dot for each library at the number of times it is as fast as "
        "scikit-learn.",
    )


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    ylabel: str,
    path: Path,
    alt: str,
) -> str:
    """Doubly logarithmic curves: quantity along x -> label of the curve -> points."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    drawing, axes = canvas(4 * columns, 3 * rows, len(panels), columns)
    for ax, (xlabel, lines) in zip(axes, panels.items(), strict=True):
        for label, points in lines.items():
            colour = COLOURS.get(label.partition(":")[0])
            ax.plot(*zip(*points, strict=True), "o-", color=colour, label=label, markersize=4)
        ax.set_xscale("log")
        ax.set_yscale("log")
        values = sorted({int(x) for points in lines.values() for x, _ in points})
        ax.set_xticks(values, map(count, values))
        ax.minorticks_off()
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=8)
    return kept(drawing, path, alt)
