"""What passes between the consumer of a stream and the thread that works for it, in order.

The consumer asks for things that others are preparing; the worker takes them in batches and gives a result for each.
Either may end it: the consumer by stopping, the worker by an error, which the consumer then raises. Whoever asks bounds
what is under way.
"""

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Ready = TypeVar("Ready")


class Delivery(Generic[Asked, Ready]):
    """What was asked for, what is ready, and how both ends stop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: deque[Future[Asked]] = deque()
        self._ready: deque[Ready] = deque()
        self._error: BaseException | None = None
        self._is_last_asked = self._is_stopped = False

    def ask(self, item: Future[Asked] | None) -> None:
        """Hand over what is being prepared; None says that nothing follows."""
        with self._changed:
            if item is None:
                self._is_last_asked = True
            else:
                self._asked.append(item)
            self._changed.notify_all()

    def next_batch(self, size: int) -> list[Future[Asked]] | None:
        """Wait for so many items, or the last ones; None where there are no more, or nobody wants them."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._asked) >= size or self._is_last_asked or self._is_stopped)
            if self._is_stopped or not self._asked:
                return None
            return [self._asked.popleft() for _ in range(min(size, len(self._asked)))]

    def give(self, results: Iterable[Ready]) -> None:
        """Make results ready for the consumer."""
        with self._changed:
            self._ready.extend(results)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let the consumer raise an error, after what is ready."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def take(self) -> Ready:
        """Wait for the next result.

        Raises:
            BaseException: whatever ended the other thread.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error is not None)
            if not self._ready:
                assert self._error is not None
                raise self._error
            self._changed.notify_all()
            return self._ready.popleft()

    def stop(self) -> None:
        """End the other thread; the consumer takes nothing more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
