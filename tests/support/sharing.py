"""Lists shared among threads that are far too small for it."""

from numclip._cpu import threads


def share_every_list(blocks, setattr=setattr):
    """Let each call use so many threads, whatever the size of the list; `setattr` may be a monkeypatch's."""
    setattr(threads, "SERIAL_ELEMENTS", 0)
    setattr(threads, "serial_elements", lambda: 0)
    setattr(threads, "blocks", lambda elements: blocks)
