"""The packed form of a list: one row of integers per entry, in the order of the list."""

# The columns of a row. The length counts real numbers, so a complex element counts twice. A target of 0 means
# that nothing is to be written, a source equal to the target that the entry is clipped in place. The chunks
# of all entries are numbered through.
SOURCE, TARGET, LENGTH, KIND, FIRST_CHUNK = range(5)
COLUMNS = 5

# The order of the sum: an array is cut into chunks of so many elements, a chunk has so many lanes.
CHUNK, LANES = 4096, 32


def chunks_of(length: int) -> int:
    """Return how many chunks an array of this length has."""
    return (length + CHUNK - 1) // CHUNK


# What a row holds. Complex arrays are pairs of real numbers.
NOTHING, FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = range(5)
ITEM_SIZE = (0, 4, 8, 2, 2)
