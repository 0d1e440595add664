"""numclip's functions as a caller's compiled code calls them."""

from importlib.metadata import entry_points

import numba
import pytest

import numclip

if not any(entry.value == "numclip._numba:init" for entry in entry_points(group="numba_extensions")):
    pytest.skip("numclip is not installed, so that Numba does not know it", allow_module_level=True)


@numba.njit
def clip(t_list, clip_norm):
    return numclip.clip_by_global_norm(t_list, clip_norm)


@numba.njit
def clip_in_place(t_list, clip_norm):
    return numclip.clip_by_global_norm(t_list, clip_norm, out=t_list)


@numba.njit
def clip_to(t_list, clip_norm, out):
    return numclip.clip_by_global_norm(t_list, clip_norm, out=out)


@numba.njit
def clip_given(t_list, clip_norm, use_norm):
    return numclip.clip_by_global_norm(t_list, clip_norm, use_norm)


@numba.njit
def norm_of(t_list):
    return numclip.global_norm(t_list)


@numba.njit
def factor_of(t_list, clip_norm):
    return numclip.clip_factor(t_list, clip_norm)
