"""GradientMonitor: the norms of a training run, step by step."""

import math
from collections import deque
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.errors import brief
from numclip._arrays.labels import places
from numclip._arrays.trees.structure import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numclip._norms import Norms


class GradientMonitor:
    """Record the norm and threshold of each step, and the norm of each array: to see which layer exploded.

    Parameters
    ----------
    path : path, optional
        A CSV file, overwritten, to which each step is appended when it is recorded: it is complete even if
        the program is killed. ``python -m numclip plot`` draws it.
    names : sequence of str, optional
        The names of the arrays. By default their places, as in ``[0]`` or ``['dense']['w']``.
    history : int, optional
        The number of last steps that are kept in memory, at 8 bytes a number.

    Attributes
    ----------
    names : list of str, or None
        The names of the arrays; None before the first step, if they were not given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.
    OSError
        If the file cannot be written.

    Notes
    -----
    Steps are numbered from 1. A step is clipped if its norm is above its threshold.

    Norms on a CUDA device are copied to the host, which waits for them.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = {"w": np.zeros(2), "b": np.zeros(1)}
    >>> monitor = numclip.GradientMonitor()
    >>> clipper = numclip.tree.Clipper(grads, 1.0, monitor=monitor)
    >>> for step in range(3):
    ...     grads["w"][:], grads["b"][:] = 10.0**step, 0.1
    ...     norm = clipper()
    >>> summary = monitor.summary()
    >>> summary["steps"], summary["clipped"], summary["largest_step"]
    (3, 3, 3)
    >>> summary["tensors"]["['b']"]
    {'median': 0.1, 'largest': 0.1}

    Without a `Clipper`:

    >>> norms = numclip.tree.tensor_norms(grads)
    >>> _, norm = numclip.tree.clip_by_global_norm(grads, 5.0, out=grads)
    >>> monitor.record(norm, 5.0, norms)
    >>> monitor.summary()["clipped"]
    3
    """

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        names: Sequence[str] | None = None,
        history: int = 10_000,
    ) -> None:
        if isinstance(history, bool) or not isinstance(history, int):
            raise TypeError(f"history should be an int. Received {brief(history)}")
        if history < 1:
            raise ValueError(f"history should be at least 1. Received {brief(history)}")
        if names is not None:
            names = _checked_names(names)
        self._path = None if path is None else Path(path)
        if self._path is not None:
            self._path.write_text("", encoding="utf-8")  # raises now if it cannot be written
        self.names: list[str] | None = names
        self._rows: deque[NDArray[np.float64]] = deque(maxlen=history)
        self._steps = self._clipped = self._nonfinite = self._sent = 0
        self._largest, self._largest_step = math.nan, 0

    def record(self, norm: Any, clip_norm: Any, tensor_norms: Any = None) -> None:
        """Record the next step.

        Parameters
        ----------
        norm : float
            The norm before clipping.
        clip_norm : float
            The threshold of this step.
        tensor_norms : list or other tree of floats, optional
            The norm of each array before clipping, as from the functions `tensor_norms`; None for None. The
            number of norms must be the same at each step, or 0.

        Raises
        ------
        TypeError, ValueError
            If an argument is not of this form. The step has not been recorded.
        """
        value, threshold = _number(norm, "norm"), _number(clip_norm, "clip_norm")
        names, norms = self.names, [math.nan] * len(self.names or ())
        if tensor_norms is not None:
            taken = Tree(tensor_norms, "tensor_norms")
            norms = [
                math.nan if leaf is None else _number(leaf, f"norm {i} of tensor_norms")
                for i, leaf in enumerate(taken.leaves)
            ]
            names = places(taken, len(norms)) if names is None else names
            if len(norms) != len(names):
                wanted = f"{len(names)} names" if names else "none at the first step"
                raise ValueError(f"tensor_norms has {len(norms)} norms, but there are {wanted}")
        self.names = names or []
        row = np.array([value, threshold, *norms])
        if self._path is not None:
            self._save(self._path, row)
        self._rows.append(row)
        self._steps += 1
        self._clipped += value > threshold
        self._nonfinite += not math.isfinite(value)
        if math.isfinite(value) and not value <= self._largest:
            self._largest, self._largest_step = value, self._steps

    def _save(self, path: Path, row: NDArray[np.float64]) -> None:
        from numclip import _norms

        if not self._steps:
            _norms.write(path, self.names or [], [])
        _norms.append(path, [self._steps + 1, *row.tolist()])

    def summary(self) -> dict[str, Any]:
        """Return statistics of the run.

        Returns
        -------
        dict
            Of the whole run: ``steps``, their number; ``clipped``, how many had a norm above the threshold;
            ``nonfinite``, how many an infinite or NaN norm; ``largest``, the largest finite norm, and
            ``largest_step``, its step (NaN and 0 if there is none).

            Of the steps in memory: ``median``, that of the norms; ``tensors``, for each name a dict of the
            ``median`` and the ``largest`` norm. Norms that are not finite do not count; NaN without any.
        """
        kept = self._kept()
        tensors = zip(kept.names, kept.tensor_norms.T, strict=True)
        return {
            "steps": self._steps,
            "clipped": self._clipped,
            "nonfinite": self._nonfinite,
            "largest": self._largest,
            "largest_step": self._largest_step,
            "median": _median(kept.norms),
            "tensors": {name: {"median": _median(t), "largest": _largest(t)} for name, t in tensors},
        }

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the steps in memory to a CSV file, a row for each, as ``python -m numclip plot`` reads it.

        The columns are ``step``, ``norm``, ``clip_norm`` and the names of the arrays. An array without a norm
        has nan.
        """
        from numclip import _norms

        kept = self._kept()
        _norms.write(path, kept.names, kept.rows())

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """Draw the steps in memory: norms and thresholds, the share that was clipped, the norm of each array.

        Parameters
        ----------
        path : path, optional
            Where to save the picture, in the format of its suffix.

        Returns
        -------
        matplotlib.figure.Figure
            The picture.

        Raises
        ------
        ValueError
            If no step has been recorded.
        RuntimeError
            If matplotlib is not installed.
        """
        from numclip import _plot

        figure = _plot.draw(self._kept())
        if path is not None:
            figure.savefig(path)
        return figure

    def to_tensorboard(self, writer: Any) -> None:
        """Send the steps in memory that are new since the last call to a writer of TensorBoard.

        The tags are ``gradients/norm``, ``gradients/clip_norm`` and ``gradients/tensors/`` with the name. NaN
        is sent as ``gradients/norm`` alone.

        Parameters
        ----------
        writer : SummaryWriter
            A writer of ``torch.utils.tensorboard`` or tensorboardX: its method ``add_scalar`` is called with
            a tag, a number and a step.

        Raises
        ------
        TypeError
            If the writer has no such method.
        """
        if not callable(add_scalar := getattr(writer, "add_scalar", None)):
            raise TypeError(
                "writer should have add_scalar, as the SummaryWriter of torch.utils.tensorboard."
                f" Received {brief(writer)}"
            )
        kept = self._kept()
        tags = ["norm", "clip_norm", *(f"tensors/{name}" for name in kept.names)]
        for step, *values in kept.rows():
            if step > self._sent:
                for tag, value in zip(tags, values, strict=True):
                    if tag == "norm" or not math.isnan(value):  # an array without a norm is no event
                        add_scalar(f"gradients/{tag}", value, step)
        self._sent = self._steps

    def _kept(self) -> "Norms":
        from numclip import _norms

        return _norms.table(self._steps - len(self._rows) + 1, self._rows, self.names or [])


def _checked_names(names: Any) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"names should be a sequence of str. Received {brief(names)}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"names[{index}] should be a str. Received {brief(name)}")
        if name in names[:index]:
            raise ValueError(f"names[{index}] is there twice: {brief(name)}")
    return list(names)


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} should be a number. Received {brief(value)}") from None


def _finite(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    return norms[np.isfinite(norms)]


def _median(norms: NDArray[np.float64]) -> float:
    known = _finite(norms)
    return float(np.quantile(known, 0.5)) if len(known) else math.nan


def _largest(norms: NDArray[np.float64]) -> float:
    known = _finite(norms)
    return float(known.max()) if len(known) else math.nan
