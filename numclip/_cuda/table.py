"""The packed form of a list in the memory of a device: a header of 64-bit words, then the columns of a table.

A column has a word for each entry of the list and one more. Everything is uploaded in one piece, with zeros
where the kernels count, and for the sums of arrays without elements. The other sums lie behind that.
"""

from numclip._core import contract

# The words of the header. The first two are float64: an element times both is its clipped value. TICKET
# counts the blocks that are done. Four are addresses: of a counter for each run, and of the sums. The last
# four, float64 again, are the norm of the elements in three parts, as in `contract`, and as it is returned.
FACTOR, PREFACTOR, TICKET, LARGE_COUNT, RUN_TICKETS, ARRAY_SUMS, RUN_SUMS, CHUNK_SUMS = range(8)
NORM_HI, NORM_LO, PRESCALE, RETURNED = range(8, 12)
HEADER = 12

# The columns. The first five are those of a row in `contract`. A run is up to 4096 chunks of one array,
# summed into one number; runs are numbered through the list, for arrays of more than one chunk. FIRST_CHUNK
# and FIRST_RUN end with the number of all. LARGE lists the arrays of more than one run.
SOURCE, TARGET, LENGTH, TYPECODE, FIRST_CHUNK = range(contract.COLUMNS)
FIRST_RUN, LARGE = contract.COLUMNS, contract.COLUMNS + 1
COLUMNS = contract.COLUMNS + 2


def column(workspace: int, count: int, number: int) -> int:
    """Return the address of a column of a table of `count` entries."""
    return workspace + 8 * (HEADER + number * (count + 1))
