"""A disk without room."""

import resource
from contextlib import contextmanager


@contextmanager
def small_files_only(num_bytes: int):
    """What a full disk does to a writer: no file may grow beyond this."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
