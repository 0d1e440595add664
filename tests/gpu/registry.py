"""Checks as plain functions, each for some choices: a GPU is often on a machine without pytest."""

import importlib.util
import itertools
from typing import NamedTuple


class Skipped(Exception):
    """A check cannot be made here."""


class Check(NamedTuple):
    """A check with its choices."""

    name: str
    function: object
    arguments: tuple
    needs: tuple  # modules
    is_long: bool

    def __call__(self):
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                raise Skipped(f"{module} is not installed")
        self.function(*self.arguments)


CHECKS = []


def check(*choices, needs=("torch",), is_long=False):
    """Register a function for each combination of the choices: lists of (name, argument), or of arguments."""

    def register(function):
        named = [[c if isinstance(c, tuple) else (str(c), c) for c in some] for some in choices]
        for combination in itertools.product(*named):
            name = "-".join([function.__name__, *(name for name, _ in combination)])
            arguments = tuple(argument for _, argument in combination)
            libraries = [argument for argument in arguments if argument in ("numba", "cupy", "torch", "jax")]
            modules = (*(libraries or needs),)
            CHECKS.append(Check(name, function, arguments, modules, is_long))
        return function

    return register
