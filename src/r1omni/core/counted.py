"""Counts in sentences: `1 clip`, `1,234 clips`."""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where there is not exactly one.

    Args:
        count: how many.
        noun: one of them; its plural ends in s.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
