"""The packed form of a list in the memory of a device: a header of 64-bit words, then the columns of a table.

A column has a word for each entry of the list and one more. Everything is uploaded in one piece; the sums lie
elsewhere, where the header says.
"""

# The words of the header. The first four are float64: the sum's root, the unit it was taken in, and what each
# element is to be multiplied by. LIMIT holds a clip_norm, or a use_norm, that was read on the device.
ROOT, UNIT, FACTOR, STEP, LIMIT, GIVEN, TICKET, LARGE_COUNT, ARRAY_SUMS, RUN_SUMS, CHUNK_SUMS = range(11)
HEADER = 12

# The columns. Chunks are numbered through the list, and so are runs: the chunks of an array, up to 4096 at a
# time, that are summed into one number. FIRST_CHUNK and FIRST_RUN end with the number of all. LARGE lists the
# arrays of more than one run.
SOURCE, TARGET, LENGTH, KIND, FIRST_CHUNK, FIRST_RUN, LARGE = range(7)
COLUMNS = 7


def column(workspace: int, count: int, number: int) -> int:
    """Return the address of a column of a table of `count` entries."""
    return workspace + 8 * (HEADER + number * (count + 1))
