"""Pictures of the norms of a run, by matplotlib, which is loaded when the first is drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numclip._norms import Norms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 400  # of the heat map: steps are joined to as many
LABELS = 30  # of arrays, beside the heat map
WINDOWS = 50  # of one of them is the share that was clipped
SMALLEST, LARGEST = 1e-150, 1e150  # that are drawn as they are: matplotlib computes beyond its data


def draw(norms: Norms) -> "Figure":
    """Draw the norms with their thresholds, the share of steps that were clipped, the norm of each array."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise RuntimeError('pictures need matplotlib: pip install "matplotlib>=3.9"') from error
    if not len(norms.steps):
        raise ValueError("there is nothing to draw: no step has been recorded")
    norms = norms._replace(
        norms=_drawable(norms.norms),
        thresholds=_drawable(norms.thresholds),
        tensor_norms=_drawable(norms.tensor_norms),
    )
    maps = bool(_positive(norms.tensor_norms).any())
    figure = Figure(figsize=(9, 8 if maps else 5), layout="constrained")
    axes = figure.subplots(2 + maps, 1, sharex=True, height_ratios=[3, 1, 3][: 2 + maps])
    _draw_norms(axes[0], norms)
    _draw_share(axes[1], norms)
    if maps:
        _draw_map(figure, axes[2], norms)
    axes[-1].set_xlabel("step")
    return figure


def _positive(values: NDArray[np.float64]) -> NDArray[np.bool]:
    return np.isfinite(values) & (values > 0)


def _drawable(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(_positive(values), np.clip(values, SMALLEST, LARGEST), values)


def _draw_norms(axes: Any, norms: Norms) -> None:
    shown, clipped = _positive(norms.norms), norms.clipped
    for chosen, color, label in ((~clipped, "tab:blue", "not clipped"), (clipped, "tab:red", "clipped")):
        here = chosen & shown
        axes.plot(norms.steps[here], norms.norms[here], ".", markersize=2, color=color, label=label)
    known = np.where(_positive(norms.thresholds), norms.thresholds, np.nan)
    if not np.isnan(known).all():
        axes.plot(norms.steps, known, "--", color="black", linewidth=1, label="threshold")
    lost = norms.steps[~np.isfinite(norms.norms)]
    if len(lost):
        style = {"transform": axes.get_xaxis_transform(), "markersize": 3, "label": "infinite or NaN"}
        axes.plot(lost, np.full(len(lost), 0.02), "kx", **style)
    axes.set(yscale="log", ylabel="norm before clipping", title=f"Gradient norm, {_described(norms)}")
    axes.margins(y=0.25)  # room for the legend
    axes.legend(loc="upper right", markerscale=3, ncols=4)


def _described(norms: Norms) -> str:
    return f"{np.mean(norms.clipped):.0%} of {len(norms.steps)} steps clipped"


def _draw_share(axes: Any, norms: Norms) -> None:
    width = -(-len(norms.steps) // WINDOWS)
    share = np.convolve(norms.clipped, np.full(width, 1 / width), "valid")
    axes.plot(norms.steps[width - 1 :], share, color="tab:red")
    axes.set(ylim=(-0.05, 1.05), ylabel="share clipped", title=f"Share of the last {width} steps")


def _draw_map(figure: "Figure", axes: Any, norms: Norms) -> None:
    from matplotlib.colors import LogNorm

    width = -(-len(norms.steps) // COLUMNS)
    starts = np.arange(0, len(norms.steps), width)
    largest = np.maximum.reduceat(norms.tensor_norms, starts)  # NaN where one of the steps has it
    shown = np.ma.masked_where(~_positive(largest), largest).T
    edges = np.append(norms.steps[starts], norms.steps[-1] + 1) - 0.5
    heat = axes.pcolormesh(
        edges, np.arange(len(norms.names) + 1) - 0.5, shown, norm=LogNorm(), cmap="viridis", rasterized=True
    )
    axes.set_facecolor("lightgray")
    every = -(-len(norms.names) // LABELS)
    axes.set_yticks(range(0, len(norms.names), every), norms.names[::every], parse_math=False)
    axes.invert_yaxis()
    joined = f", the largest of {width} steps" if width > 1 else ""
    axes.set(title=f"Norm of each array{joined} (gray: 0, not finite, or none)")
    figure.colorbar(heat, ax=axes)
