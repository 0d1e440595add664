"""Changes of the policy of threads for a test: small lists are shared among threads, cores are made up.

Tests replace parts of the policy only by these functions. `setattr` may be that of a monkeypatch.
"""

from numclip._cpu import census, tbb, threads

PARTS = {
    "available_cores": (threads, "available_cores"),
    "blocks": (threads.policy, "blocks"),
    "contested_elements": (threads.policy, "contested_elements"),
    "elements_per_thread": (threads.policy, "elements_per_thread"),
    "few_threads": (census, "FEW_THREADS"),
    "limit": (threads.policy, "limit"),
    "most_serial": (threads.policy, "most_serial"),
    "numba_threads": (threads.policy, "_numba_threads"),
    "read": (census, "_read"),
    "running_threads": (census, "running_threads"),
    "runs_alone": (census, "_runs_alone"),
    "runs_tbb": (tbb, "is_used"),
    "serial_elements": (threads.policy, "serial_elements"),
    "thread_ids": (census, "thread_ids"),
}


def replace(setattr=setattr, **parts):
    """Replace parts of the policy by constants or by functions, as they are."""
    for name, part in parts.items():
        setattr(*PARTS[name], part)


def share_every_list(blocks, setattr=setattr):
    """Let each call use this number of threads, whatever the size of the list."""
    replace(setattr, serial_elements=0, most_serial=lambda: 0, blocks=lambda elements: blocks)


def share_small_lists(elements, available, setattr=setattr):
    """Let lists of more elements be shared under TBB, as if this many cores were available."""
    replace(
        setattr,
        serial_elements=elements,
        elements_per_thread=elements // 5,
        contested_elements=0,
        available_cores=lambda: available,
    )
