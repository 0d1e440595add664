"""Pictures of the norms of a run, by matplotlib, which is imported for the first one."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numclip._norms import Norms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 400  # of the heat map: consecutive steps share one
LABELS = 30  # of arrays, beside the heat map
WINDOWS = 50  # for each, the share of clipped steps is drawn
RANGE = 1e-100, 1e100  # of norms: the ticks of a logarithmic axis overflow near the ends of float64


def draw(norms: Norms) -> "Figure":
    """Draw the norms with their thresholds, the share of steps that were clipped, the norm of each array."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise RuntimeError('pictures need matplotlib: pip install "matplotlib>=3.9"') from error
    if not len(norms.steps):
        raise ValueError("there is nothing to draw: no step has been recorded")
    width = -(-len(norms.steps) // COLUMNS)
    starts = np.arange(0, len(norms.steps), width)
    largest = _shown(np.maximum.reduceat(norms.tensor_norms, starts))  # NaN where one of the steps has it
    maps = not np.isnan(largest).all()
    figure = Figure(figsize=(9, 8 if maps else 5), layout="constrained")
    axes = figure.subplots(2 + maps, 1, sharex=True, height_ratios=[3, 1, 3][: 2 + maps])
    _draw_norms(axes[0], norms)
    _draw_share(axes[1], norms)
    if maps:
        edges = np.append(norms.steps[starts], norms.steps[-1] + 1) - 0.5
        _draw_map(figure, axes[2], edges, largest, norms.names)
        joined = f", the largest of {width} steps" if width > 1 else ""
        axes[2].set_title(f"Norm of each array{joined} (gray: 0, not finite, or none)")
    axes[-1].set_xlabel("step")
    return figure


def _shown(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return norms for a logarithmic axis: NaN in place of 0, infinity and NaN."""
    return np.where(np.isfinite(values) & (values > 0), values.clip(*RANGE), np.nan)


def _draw_norms(axes: Any, norms: Norms) -> None:
    shown, clipped = _shown(norms.norms), norms.clipped
    for chosen, color, label in ((~clipped, "tab:blue", "not clipped"), (clipped, "tab:red", "clipped")):
        axes.plot(norms.steps[chosen], shown[chosen], ".", markersize=2, color=color, label=label)
    thresholds = _shown(norms.thresholds)
    if not np.isnan(thresholds).all():
        axes.plot(norms.steps, thresholds, "--", color="black", linewidth=1, label="threshold")
    lost = norms.steps[~np.isfinite(norms.norms)]
    if len(lost):
        style = {"transform": axes.get_xaxis_transform(), "markersize": 3, "label": "infinite or NaN"}
        axes.plot(lost, np.full(len(lost), 0.02), "kx", **style)
    described = f"{np.mean(clipped):.0%} of {len(clipped)} steps clipped"
    axes.set(yscale="log", ylabel="norm before clipping", title=f"Gradient norm, {described}")
    axes.margins(y=0.25)  # room for the legend
    axes.legend(loc="upper right", markerscale=3, ncols=4)


def _draw_share(axes: Any, norms: Norms) -> None:
    width = -(-len(norms.steps) // WINDOWS)
    share = np.convolve(norms.clipped, np.full(width, 1 / width), "valid")
    axes.plot(norms.steps[width - 1 :], share, color="tab:red")
    axes.set(ylim=(-0.05, 1.05), ylabel="share clipped", title=f"Share of the last {width} steps")


def _draw_map(
    figure: "Figure",
    axes: Any,
    edges: NDArray[np.float64],
    values: NDArray[np.float64],
    names: list[str],
) -> None:
    from matplotlib.colors import LogNorm

    rows = np.arange(len(names) + 1) - 0.5
    heat = axes.pcolormesh(edges, rows, np.ma.masked_invalid(values.T), norm=LogNorm(), rasterized=True)
    axes.set_facecolor("lightgray")
    every = -(-len(names) // LABELS)
    axes.set_yticks(range(0, len(names), every), names[::every], parse_math=False)
    axes.invert_yaxis()
    figure.colorbar(heat, ax=axes)
