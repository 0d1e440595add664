"""The policy of threads in the hands of a test: lists that are far too small are shared, cores made up.

Every test replaces parts of the policy here and nowhere else. `setattr` may be that of a monkeypatch.
"""

from numclip._cpu import cores, threads

PARTS = {
    "available_cores": (cores, "available_cores"),
    "blocks": (threads, "blocks"),
    "contested_elements": (threads, "CONTESTED_ELEMENTS"),
    "elements_per_thread": (threads, "ELEMENTS_PER_THREAD"),
    "few_threads": (threads, "FEW_THREADS"),
    "most_serial_elements": (threads, "SERIAL_ELEMENTS"),
    "numba_threads": (threads, "_numba_threads"),
    "read": (threads, "_read"),
    "running_threads": (threads, "_running_threads"),
    "runs_alone": (threads, "_runs_alone"),
    "runs_tbb": (threads, "_runs_tbb"),
    "serial_elements": (threads, "serial_elements"),
    "thread_ids": (threads, "_thread_ids"),
}


def replace(setattr=setattr, **parts):
    """Replace parts of the policy by constants or by functions, as they are."""
    for name, part in parts.items():
        setattr(*PARTS[name], part)


def share_every_list(blocks, setattr=setattr):
    """Let each call use so many threads, whatever the size of the list."""
    replace(setattr, most_serial_elements=0, serial_elements=lambda: 0, blocks=lambda elements: blocks)


def share_small_lists(elements, available, setattr=setattr):
    """Let lists of more elements be shared under TBB, among as many threads as are said to have a core."""
    replace(
        setattr,
        most_serial_elements=elements,
        elements_per_thread=elements // 5,
        contested_elements=0,
        available_cores=lambda: available,
    )
