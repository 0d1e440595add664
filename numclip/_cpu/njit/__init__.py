"""numclip inside the compiled code of its callers: its functions for tuples and lists of arrays.

`arguments` checks types while the caller is compiled, and numbers at run time; `containers` goes over the
entries; `packing` makes rows of them; `clipping` sums, decides and scales with the helpers of the calls from
Python, so that the bits are the same. Neither objects of Python nor the GIL are touched.
"""
