"""How an error reads: short, whatever the argument, and without the frames inside numclip."""

from typing import Any

import numpy as np

# A message that quotes an argument in full can be as long as the argument: 35 MB for a list of arrays that
# was passed as a number.
LONGEST = 500
_LONGEST_PART = 120
_LONGEST_SEQUENCE = 6


def shortened(text: str, longest: int = _LONGEST_PART) -> str:
    """Return a text, without its middle if it is too long."""
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 3]}...{text[-tail:]}"


def name_of(kind: type) -> str:
    """Return the repr of a class, by no method of its metaclass."""
    return shortened(type.__repr__(kind))


def class_of(value: Any) -> str:
    """Return the repr of the class of a value."""
    return name_of(type(value))


def brief(value: Any) -> str:
    """Return a number, a string or a short sequence of them as Python writes it, else the class."""
    if isinstance(value, list | tuple) and len(value) <= _LONGEST_SEQUENCE:
        items = ", ".join(class_of(i) if isinstance(i, list | tuple) else brief(i) for i in value)
        left, right = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return shortened(f"{left}{items}{right}")
    if type(value) is int and value.bit_length() > _LONGEST_PART:
        return f"an int of {value.bit_length()} bits"  # its digits take quadratic time
    if type(value) in (str, bytes):
        return shortened(repr(value[: _LONGEST_PART + 1]))
    if value is None or type(value) in (bool, int, float, complex) or isinstance(value, np.number | np.bool):
        return shortened(repr(value))
    if isinstance(value, np.ndarray):
        return f"{class_of(value)} of shape {brief_shape(value.shape)}"
    return class_of(value)


def brief_shape(shape: tuple[int, ...]) -> str:
    """Return the text of a shape, shortened: it may have 64 sides."""
    return shortened(str(shape))


def reason(error: BaseException) -> str:
    """Return the message of an error of another library."""
    try:
        return shortened(str(error), 2 * _LONGEST_PART)
    except Exception:  # `__str__` is third-party code, and may raise anything
        return class_of(error)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the text of a dtype, without its fields if they are many."""
    return dtype.name if len(dtype.names or ()) > _LONGEST_SEQUENCE else shortened(str(dtype))


def trim(error: BaseException) -> None:
    """Drop the frames below that of a public function from an error that numclip raised about an argument.

    An error from any other code keeps its frames: they say what went wrong inside. To be called in an
    `except` clause, which costs nothing if nothing is raised.
    """
    if not isinstance(error, TypeError | ValueError):
        return
    first = last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if first is None or last is None:
        return
    if last.tb_frame.f_globals.get("__name__", "").startswith("numclip."):
        first.tb_next = None
        if len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (shortened(error.args[0], LONGEST),)
