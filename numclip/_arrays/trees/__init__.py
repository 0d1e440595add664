"""Trees: arrays in nested containers.

`structure` takes a tree apart into a list of leaves and a structure, and puts results into the same
structure. It knows plain dicts, lists and tuples. `nodes` knows every other container, and `registries` those
that the program has registered with optree or JAX; `leaves` knows what is none. `copies` makes a new
container of the same class, and `readback` reads it; `simple` knows the classes that need neither. `text` is
what messages say of all this.
"""
