"""Lists shared among threads that are far too small for it."""

from numclip import _threads


def share_every_list(blocks, setattr=setattr):
    """Let each call use so many threads, whatever the size of the list; `setattr` may be a monkeypatch's."""
    setattr(_threads, "SERIAL_ELEMENTS", 0)
    setattr(_threads, "serial_elements", lambda: 0)
    setattr(_threads, "blocks", lambda elements: blocks)
