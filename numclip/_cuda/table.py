"""The packed form of a list in the memory of a device: a header of 64-bit words, then the columns of a table.

A column has a word for each entry of the list and one more. Everything is uploaded in one piece, with zeros
where the kernels count, and for the sums of arrays without elements. The other sums lie behind that.
"""

from numclip._core import contract

# The words of the header. The first two are float64: an element times both is its clipped value. TICKET
# counts the blocks that are done. Four are addresses: of a counter for each run, and of the sums. The next
# four, float64 again, are the norm of the elements in three parts, as in `contract`, and as it is returned.
FACTOR, PREFACTOR, TICKET, LARGE_COUNT, RUN_TICKETS, ARRAY_SUMS, RUN_SUMS, CHUNK_SUMS = range(8)
NORM_HI, NORM_LO, PRESCALE, RETURNED = range(8, 12)
# The address of a float64 for each entry: its largest magnitude, then its norm of another order than 2.
NORMS = 12
# The address of the directory: the entry of every 2**DIRECTORY_SHIFT-th chunk, and the last one.
DIRECTORY, DIRECTORY_SHIFT = 13, 14
HEADER = 15

# A sum takes so many bytes: a float64 and its error. A sum without one leaves the second word as it is.
SUM = 16

# The columns. The first five are those of a row in `contract`. A run is up to 4096 chunks of one array,
# summed into one number; runs are numbered through the list, for arrays of more than one chunk. FIRST_CHUNK
# and FIRST_RUN end with the number of all. LARGE lists the arrays of more than one run. REALS is 2 for
# complex elements, and else 1.
SOURCE, TARGET, LENGTH, TYPECODE, FIRST_CHUNK = range(contract.COLUMNS)
FIRST_RUN, LARGE, REALS = range(contract.COLUMNS, contract.COLUMNS + 3)
COLUMNS = contract.COLUMNS + 3


def column(workspace: int, count: int, number: int) -> int:
    """Return the address of a column of a table of `count` entries."""
    return workspace + 8 * (HEADER + number * (count + 1))
