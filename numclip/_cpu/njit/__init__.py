"""numclip inside the compiled code of its callers: its functions for tuples and lists of arrays.

What a call does: `arguments` checks types while the caller is compiled, and numbers when it runs;
`containers` goes over the entries; `packing` makes rows of them; `clipping` sums, decides and scales with
the helpers of Python's calls, so that the bits are the same. Neither Python's objects nor its lock are
touched.
"""
