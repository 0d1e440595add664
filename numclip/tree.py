"""Clipping dicts and other nested containers of arrays: the functions of lists, over trees.

A tree is a container of arrays and of containers, nested at will: dicts, lists, tuples, namedtuples,
dataclasses, attrs classes, any ``Mapping``, and classes that the program has registered with optree or, if it
has imported JAX, with JAX. All functions take the arrays as a list in their order in the tree: those of a
dict in the order of insertion. A list in a tree is a container, even a list of floats.

Static fields of dataclasses (``static=True`` of Equinox, ``pytree_node=False`` of Flax) do not belong to a
tree: they are passed through.

Containers are returned with their class. A copy is made without calling the class, and read back before it is
returned. If the copy does not give the clipped arrays in every way in which the original gives its own, or if
a class cannot be copied at all, a ``TypeError`` names the class: ``out=tree`` clips its arrays in place.
"""

import math
from typing import Any

from numclip import _clip
from numclip._arrays.annotations import Number, Threshold
from numclip._arrays.errors import trim
from numclip._arrays.options import Nonfinite, options
from numclip._arrays.output import NEW, NONE
from numclip._arrays.trees.structure import Tree
from numclip._backend import backend_of
from numclip._monitor import GradientMonitor

__all__ = ["Clipper", "clip_by_global_norm", "clip_factor", "global_norm", "tensor_norms"]

_IN_PLACE = "Pass out=tree to clip in place, or its arrays in a dict or list"
_AS_A_LIST = "Pass its arrays in a dict or list"


def clip_by_global_norm(
    tree: Any,
    clip_norm: Threshold,
    use_norm: Number | None = None,
    name: str | None = None,
    *,
    out: Any = None,
    ord: float = 2,
    eps: float = 0.0,
    loss_scale: float = 1.0,
    nonfinite: Nonfinite = "nan",
    strict: bool = False,
    stream: Any = None,
) -> tuple[Any, Any]:
    """Clip the arrays in nested containers so that the norm of all of them together is at most `clip_norm`.

    Parameters
    ----------
    tree : container, or an array
        Containers, nested at will, of whatever may be an entry of `numclip.clip_by_global_norm`: arrays of
        any shapes and dtypes, None, `IndexedSlices`.
    clip_norm, use_norm, name, ord, eps, loss_scale, nonfinite, strict, stream
        As for `numclip.clip_by_global_norm`.
    out : container, optional
        Receives the results: the same structure with an array of the same shape and dtype for each of `tree`.
        ``out=tree`` clips in place. New containers and arrays by default.

    Returns
    -------
    tree_clipped : container
        The same structure, with the clipped arrays; `out` itself if that is given.
    global_norm : numpy.float32 or numpy.float64
        The norm before clipping, as from `numclip.clip_by_global_norm`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the path, as in ``tree['layer1'][0] has dtype
        int32``, and nothing has been written.
    FloatingPointError
        With ``nonfinite="raise"``, for a norm that is infinite or NaN. Nothing has been written.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = {"dense": {"w": np.array([[3.0]]), "b": None}, "scale": [np.array(4.0)]}
    >>> clipped, norm = numclip.tree.clip_by_global_norm(grads, 2.5)
    >>> norm
    np.float64(5.0)
    >>> clipped
    {'dense': {'w': array([[1.5]]), 'b': None}, 'scale': [array(2.)]}

    In place:

    >>> _, norm = numclip.tree.clip_by_global_norm(grads, 2.5, out=grads)
    >>> grads["dense"]["w"]
    array([[1.5]])
    """
    try:
        chosen = options(ord, eps, loss_scale, nonfinite, strict)
        taken = Tree(tree)
        leaves = taken.leaves
        if out is None:
            results, norm, _ = backend_of(leaves).clip(
                leaves, NEW, clip_norm, use_norm, chosen, taken, stream
            )
            return taken.rebuilt(results, _IN_PLACE), norm
        targets = _targets(taken, tree, out)
        return out, backend_of(leaves).clip(leaves, targets, clip_norm, use_norm, chosen, taken, stream)[1]
    except Exception as error:
        trim(error)
        raise


def global_norm(tree: Any, *, ord: float = 2, loss_scale: float = 1.0, stream: Any = None) -> Any:
    """Return the norm of all arrays of a tree together.

    Parameters
    ----------
    tree : container, or an array
        As for `clip_by_global_norm`.
    ord, loss_scale, stream
        As for `numclip.global_norm`.

    Returns
    -------
    numpy.float32 or numpy.float64
        The norm, as from `numclip.global_norm`.

    Raises
    ------
    TypeError
        If a leaf is no array. The message names its path.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> numclip.tree.global_norm({"w": np.array([3.0]), "b": np.array([4.0])})
    np.float64(5.0)
    """
    try:
        chosen = options(ord, 0.0, loss_scale, "nan")
        taken = Tree(tree)
        return backend_of(taken.leaves).clip(taken.leaves, NONE, math.inf, None, chosen, taken, stream)[1]
    except Exception as error:
        trim(error)
        raise


def tensor_norms(tree: Any, *, ord: float = 2) -> Any:
    """Return the norm of each array of a tree, in one pass.

    Parameters
    ----------
    tree : container, or an array
        As for `clip_by_global_norm`.
    ord : float, optional
        As for `numclip.tensor_norms`.

    Returns
    -------
    container
        The same structure, with the norm of each array in its place: a numpy.float32 or numpy.float64.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the path.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> numclip.tree.tensor_norms({"w": np.array([3.0, 4.0]), "b": [None, np.array(2.0)]})
    {'w': np.float64(5.0), 'b': [None, np.float64(2.0)]}
    """
    try:
        order = options(ord, 0.0, 1.0, "nan").order
        taken = Tree(tree)
        return taken.rebuilt(backend_of(taken.leaves).tensor_norms(taken.leaves, order, taken), _AS_A_LIST)
    except Exception as error:
        trim(error)
        raise


def clip_factor(
    tree: Any,
    clip_norm: Threshold,
    use_norm: Number | None = None,
    *,
    ord: float = 2,
    eps: float = 0.0,
    loss_scale: float = 1.0,
    nonfinite: Nonfinite = "nan",
) -> tuple[float, Any]:
    """Return the factor by which `clip_by_global_norm` would multiply, and the norm; nothing is written.

    Parameters
    ----------
    tree : container, or an array
        As for `clip_by_global_norm`.
    clip_norm, use_norm, ord, eps, loss_scale, nonfinite
        As for `numclip.clip_factor`.

    Returns
    -------
    factor : float
        The factor, as from `numclip.clip_factor`.
    global_norm : numpy.float32 or numpy.float64
        The norm, as from `numclip.clip_factor`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the path.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> numclip.tree.clip_factor({"w": np.array([3.0]), "b": np.array([4.0])}, 2.5)
    (0.5, np.float64(5.0))
    """
    try:
        chosen = options(ord, eps, loss_scale, nonfinite)
        taken = Tree(tree)
        return backend_of(taken.leaves).factor(taken.leaves, clip_norm, use_norm, chosen, taken)
    except Exception as error:
        trim(error)
        raise


class Clipper(_clip.Clipper[Any]):
    """Clip the arrays of the same tree again and again, taken apart, checked and packed only once.

    Parameters
    ----------
    tree : container, or an array
        As for `clip_by_global_norm`. Its arrays are kept alive, and read anew at every call.
    clip_norm : float or callable
        The largest norm that is left as it is, as for `numclip.clip_by_global_norm`.
    out : container, optional
        Receives the results at every call, as for `clip_by_global_norm`. By default the arrays are clipped in
        place.
    ord, eps, loss_scale, nonfinite, strict
        As for `numclip.clip_by_global_norm`.
    monitor : GradientMonitor, optional
        As for `numclip.Clipper`; arrays without names are called by their paths.

    Attributes
    ----------
    results : container
        `tree`, or `out` if that is given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the path.

    Notes
    -----
    A call is that of a `numclip.Clipper`, whose notes hold here too: an array that is put into the tree later
    is not clipped.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = {"w": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}
    >>> clipper = numclip.tree.Clipper(grads, 1.0)
    >>> for step in range(2):
    ...     grads["w"][:] = 3.0, 4.0  # the trainer fills the same arrays at each step
    ...     norm = clipper()
    >>> norm, grads["w"]
    (np.float32(5.0), array([0.6, 0.8], dtype=float32))
    """

    __slots__ = ("_tree",)

    def __init__(
        self,
        tree: Any,
        clip_norm: Threshold,
        out: Any = None,
        *,
        ord: float = 2,
        eps: float = 0.0,
        loss_scale: float = 1.0,
        nonfinite: Nonfinite = "nan",
        strict: bool = False,
        monitor: GradientMonitor | None = None,
    ) -> None:
        try:
            chosen = options(ord, eps, loss_scale, nonfinite, strict)
            taken = Tree(tree)
            targets = _targets(taken, tree, tree if out is None else out)
            self._set_up(taken.leaves, targets, clip_norm, chosen, taken, monitor)
        except Exception as error:
            trim(error)
            raise
        self._tree = taken
        self.results = tree if out is None else out

    def tensor_norms(self) -> Any:
        """Return the norm that each array had in the last call, without a pass over any.

        Returns
        -------
        container
            As from the function `tensor_norms`, of ``t / loss_scale``.

        Raises
        ------
        RuntimeError
            If there has been no call that computed the norm.
        """
        return self._tree.rebuilt(super().tensor_norms(), _AS_A_LIST)


def _targets(taken: Tree, tree: Any, out: Any) -> list[Any]:
    """Return the target for each leaf of a tree: the leaves themselves in place."""
    if out is not tree:
        return taken.targets(out)
    if taken.nodes:
        taken.check_stable("tree")
    return taken.leaves
