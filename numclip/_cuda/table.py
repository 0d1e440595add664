"""The packed form of a list in the memory of a device: a header of 64-bit words, then the columns of a table.

A column has a word for each entry of the list and one more. All this is uploaded at once, with zeros for the
counters, and for the sums of arrays, as arrays without elements need. The memory for other sums follows.
"""

from numclip._core import contract

# The words of the header. FACTOR and PREFACTOR are float64: an element times both is its clipped value.
# TICKET counts the blocks that have finished. RUN_TICKETS is the address of a counter for each run, the three
# after it are addresses of sums. The next four are float64: the norm of the elements in three parts, as in
# `contract`, and the norm that is returned.
FACTOR, PREFACTOR, TICKET, LARGE_COUNT, RUN_TICKETS, ARRAY_SUMS, RUN_SUMS, CHUNK_SUMS = range(8)
NORM_HI, NORM_LO, PRESCALE, RETURNED = range(8, 12)
# The address of a float64 for each entry: its largest magnitude, then its norm of another order than 2.
NORMS = 12
# The address of the directory: the entry of every 2**DIRECTORY_SHIFT-th chunk, and the last one.
DIRECTORY, DIRECTORY_SHIFT = 13, 14
HEADER = 15

# The bytes of a sum: a float64 and its error. A sum without an error leaves the second word as it is.
SUM = 16

# The columns. The first five are those of a row in `contract`. A run is up to 4096 chunks of one array,
# summed into one number; the runs of the list, of arrays of more than one chunk, are numbered consecutively.
# The last words of FIRST_CHUNK and FIRST_RUN are the totals. LARGE lists the arrays of more than one run.
# REALS is 2 for complex elements, and else 1.
SOURCE, TARGET, LENGTH, TYPECODE, FIRST_CHUNK = range(contract.COLUMNS)
FIRST_RUN, LARGE, REALS = range(contract.COLUMNS, contract.COLUMNS + 3)
COLUMNS = contract.COLUMNS + 3


def column(workspace: int, count: int, number: int) -> int:
    """Return the address of a column of a table of `count` entries."""
    return workspace + 8 * (HEADER + number * (count + 1))
