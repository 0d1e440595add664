"""Clipping dicts and other nested containers of arrays."""

from collections.abc import Iterator
from typing import Any

from numclip._arrays.containers import node
from numclip._arrays.labels import Labels
from numclip._arrays.output import NEW
from numclip._backend import backend_of


def clip_tree_by_global_norm(
    tree: Any, clip_norm: Any, use_norm: Any = None, name: str | None = None, *, out: Any = None
) -> tuple[Any, Any]:
    """Clip the arrays in nested containers so that the norm of all of them together is at most `clip_norm`.

    Parameters
    ----------
    tree : dict, list, tuple, namedtuple, dataclass, or an array
        Containers, nested at will, of whatever may be an entry of `clip_by_global_norm`: arrays of any shapes
        and dtypes, None, `IndexedSlices`. All fields of a dataclass are taken. Classes that are registered
        with optree, in its global namespace, are containers too.
    clip_norm : float
        The largest norm that is left as it is, at least 0.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is.
    name : str, optional
        As in `clip_by_global_norm`; it has no effect.
    out : container, optional
        Receives the results: the same structure with an array of the same shape and dtype for each of `tree`.
        ``out=tree`` clips in place. New containers and arrays by default.

    Returns
    -------
    tree_clipped : container
        The same structure, with the clipped arrays; `out` itself if that is given.
    global_norm : numpy.float32 or numpy.float64
        The norm before clipping.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the path, as in ``tree['layer1'][0] has dtype
        int32``, and nothing has been written.

    Notes
    -----
    The same as `clip_by_global_norm` on the list of all arrays, those of a dict in the order of insertion. A
    list in a tree is a container, also one of floats.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = {"dense": {"w": np.array([[3.0]]), "b": None}, "scale": [np.array(4.0)]}
    >>> clipped, norm = numclip.clip_tree_by_global_norm(grads, 2.5)
    >>> norm
    np.float64(5.0)
    >>> clipped
    {'dense': {'w': array([[1.5]]), 'b': None}, 'scale': [array(2.)]}

    In place:

    >>> _, norm = numclip.clip_tree_by_global_norm(grads, 2.5, out=grads)
    >>> grads["dense"]["w"]
    array([[1.5]])
    """
    leaves: list[Any] = []
    paths: list[str] = []
    _flatten(tree, "", leaves, paths)
    labels = Labels(lambda i: f"tree{paths[i]}", lambda i: f"out{paths[i]}")
    if out is None:
        results, norm, _ = backend_of(leaves).clip(leaves, NEW, clip_norm, use_norm, labels=labels)
        return _unflatten(tree, iter(results)), norm
    targets: list[Any] = leaves
    if out is not tree:
        targets = []
        _match(tree, out, "", targets)
    _, norm, _ = backend_of(leaves).clip(leaves, targets, clip_norm, use_norm, labels=labels)
    return out, norm


def _flatten(tree: Any, path: str, leaves: list[Any], paths: list[str]) -> None:
    """Append the leaves, and the path to each."""
    level = node(tree)
    if level is None:
        leaves.append(tree)
        paths.append(path)
        return
    for step, child in zip(level.steps, level.children, strict=True):
        _flatten(child, path + step, leaves, paths)


def _unflatten(tree: Any, leaves: Iterator[Any]) -> Any:
    """Return the same structure with other leaves."""
    level = node(tree)
    if level is None:
        return next(leaves)
    return level.rebuild([_unflatten(child, leaves) for child in level.children])


def _match(tree: Any, out: Any, path: str, targets: list[Any]) -> None:
    """Append the target for each leaf, found by the same steps, in whatever order a dict has them."""
    level, other = node(tree), node(out)
    if level is None:
        targets.append(out)
        return
    if other is None:
        raise TypeError(f"out{path} should be a container like tree{path}. Received {type(out)}")
    if sorted(other.steps) != sorted(level.steps):
        has, expected = (" ".join(steps) or "no entries" for steps in (other.steps, level.steps))
        raise ValueError(f"out{path} has {has}, tree{path} has {expected}")
    children = dict(zip(other.steps, other.children, strict=True))
    for step, child in zip(level.steps, level.children, strict=True):
        _match(child, children[step], path + step, targets)
