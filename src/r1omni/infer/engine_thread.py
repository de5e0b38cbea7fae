"""One thread owns the model; any number of threads ask it through a bounded queue.

    EngineThread.submit(prompt, sampling) -> Ticket      from any thread
    Ticket: events() one by one, result(), cancel()      in any thread
    EngineThread.call(function) -> Future                from any thread: other work on the model, such as its towers

The owner admits what was submitted, steps the generator and hands every event to its ticket. Between two steps it looks
at cancellations and deadlines, so these take effect within one step, and makes one call. A request that fails fails
alone; an error of the owner itself reaches every ticket.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TypeVar

from r1omni.core.errors import BusyError, GenerationError
from r1omni.infer.completion import Completion, Event
from r1omni.infer.generator import Generator
from r1omni.infer.prompt import Prompt, Sampling

Result = TypeVar("Result")
OnEvent = Callable[[Event | None], None]
"""Called in the owner's thread with each event of a request, and with None after the last; it must return at once."""


class Ticket:
    """A request that was submitted: what a client holds.

    Its methods may be called from any thread; `events` is for one reader.
    """

    def __init__(
        self,
        prompt: Prompt,
        sampling: Sampling,
        deadline_s: float | None,
        owner: "EngineThread",
        on_event: OnEvent | None = None,
    ) -> None:
        self.prompt, self.sampling, self.deadline_s = prompt, sampling, deadline_s
        self._owner, self._on_event = owner, on_event
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        """None ends them."""
        self._completions: list[Completion | None] = [None] * sampling.num_samples
        self._error: BaseException | None = None
        self._is_done = threading.Event()

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come."""
        return self._is_done.is_set()

    def is_late(self, now_s: float) -> bool:
        """Whether the deadline is over.

        Args:
            now_s: the monotonic clock.
        """
        return self.deadline_s is not None and now_s >= self.deadline_s

    def events(self) -> Iterator[Event]:
        """Yield the request's events as they are made; they end with the last answer, or early when it is cancelled.

        Raises:
            ConfigError: its sampling cannot be used, or it exceeds the generator's budget.
            GenerationError: it could not be answered.
            BusyError: the owner ended before it was answered.
        """
        while (event := self._events.get()) is not None:
            yield event
        self._events.put(None)  # for whoever asks again
        if self._error is not None:
            raise self._error

    def result(self, timeout_s: float | None = None) -> list[Completion]:
        """Wait for the answers; those of a request that was cancelled, or reached its deadline, end where they were.

        Args:
            timeout_s: seconds to wait at most; None waits for as long as it takes.

        Raises:
            TimeoutError: there is no result yet; the request goes on.
            ConfigError: its sampling cannot be used, or it exceeds the generator's budget.
            GenerationError: it could not be answered.
            BusyError: the owner ended before it was answered.
        """
        if not self._is_done.wait(timeout_s):
            raise TimeoutError(f"no result within {timeout_s} s; wait again, or cancel the request")
        if self._error is not None:
            raise self._error
        return [completion for completion in self._completions if completion is not None]

    def cancel(self) -> None:
        """Ask that the request ends; its result is what was written until then. Too late is no error."""
        self._owner._ask_to_cancel(self)

    def _hand(self, event: Event) -> bool:
        """Take an event; true when it was the last one."""
        if event.completion is not None:
            self._completions[event.sample] = event.completion
        self._pass_on(event)
        if None in self._completions:
            return False
        self._end()
        return True

    def _end(self, completions: Sequence[Completion] = (), error: BaseException | None = None) -> None:
        """Wake whoever waits."""
        if self._is_done.is_set():
            return
        if completions:
            self._completions = list(completions)
        self._error = error
        self._is_done.set()
        self._pass_on(None)

    def _pass_on(self, event: Event | None) -> None:
        if self._on_event is None:
            self._events.put(event)
        else:
            self._on_event(event)


class EngineThread:
    """Runs a generator in a thread of its own. A context manager: leaving it closes it.

    Args:
        generator: nobody else may touch it from now on.
        max_queued: requests that wait for the owner to take them, and calls; it takes them in their order, requests as
            the generator gets places free.
    """

    def __init__(self, generator: Generator, *, max_queued: int = 64) -> None:
        self.max_queued = max_queued
        self._generator = generator
        self._queued: deque[Ticket] = deque()
        self._to_cancel: list[Ticket] = []
        self._calls: deque[tuple[Future[object], Callable[[], object]]] = deque()
        self._admitted: dict[int, Ticket] = {}
        self._error: BaseException | None = None
        self._is_closing = self._is_draining = False
        self._changed = threading.Condition()
        """Guards the queue, the cancellations and the flags; what was admitted is the owner's alone."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self, prompt: Prompt, sampling: Sampling, *, timeout_s: float | None = None, on_event: OnEvent | None = None
    ) -> Ticket:
        """Queue a request; returns at once.

        Args:
            prompt: what is to be continued.
            sampling: how.
            timeout_s: seconds from now until the request ends where it is; None lets it run to its end.
            on_event: receives the events instead of the ticket's `events`.

        Raises:
            BusyError: the queue is full, or the owner was closed.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        ticket = Ticket(prompt, sampling, deadline_s, self, on_event)
        with self._changed:
            self._raise_if_closed()
            if len(self._queued) >= self.max_queued:
                raise BusyError(
                    f"{len(self._queued)} requests are waiting and max_queued is {self.max_queued}; try again later."
                )
            self._queued.append(ticket)
            self._changed.notify()
        return ticket

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function in the owner's thread, between two steps of the generator; returns at once.

        Args:
            function: uses the model, for no longer than others may wait, and must not touch the generator; what it
                raises is the future's.

        Raises:
            BusyError: too many calls are waiting, or the owner was closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            self._raise_if_closed()
            if len(self._calls) >= self.max_queued:
                raise BusyError(
                    f"{len(self._calls)} calls are waiting and max_queued is {self.max_queued}; try again later."
                )
            self._calls.append((future, function))  # pyright: ignore[reportArgumentType]
            self._changed.notify()
        return future

    @property
    def is_alive(self) -> bool:
        """Whether the owner runs; it ends when it is closed, or by an error of its own."""
        return self._thread.is_alive()

    @property
    def num_queued(self) -> int:
        """Requests that the owner has not taken."""
        with self._changed:
            return len(self._queued)

    def close(self, *, finish: bool = False, timeout_s: float | None = None) -> None:
        """Take no more requests, and end the thread.

        Args:
            finish: answer what was submitted first; otherwise those requests raise `BusyError`.
            timeout_s: seconds to wait for the thread; None waits for as long as it takes.
        """
        with self._changed:
            self._is_closing, self._is_draining = True, finish
            self._changed.notify()
        self._thread.join(timeout_s)

    def __enter__(self) -> "EngineThread":
        """Return the thread itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; after an error what was submitted is refused."""
        self.close(finish=kind is None)

    def _raise_if_closed(self) -> None:
        if self._error is not None:
            raise BusyError(f"The engine's thread has ended: {self._error}; start a new one.") from self._error
        if self._is_closing:
            raise BusyError("The engine's thread was closed; it takes no more requests.")

    def _ask_to_cancel(self, ticket: Ticket) -> None:
        with self._changed:
            if not ticket.is_done:
                self._to_cancel.append(ticket)
                self._changed.notify()

    def _run(self) -> None:
        """The owner's whole life."""
        reason, cause = "The engine's thread was closed before the request was answered.", None
        try:
            while self._follow_orders():
                self._step()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: every waiter gets the error
            reason, cause = f"The engine's thread has ended: {type(error).__name__}: {error}", error
        with self._changed:
            self._is_closing, self._error = True, cause
            left = [*self._queued, *self._admitted.values()]
            calls = [future for future, _ in self._calls]
            self._queued.clear()
            self._calls.clear()
        for ticket in left:
            refusal = BusyError(reason)
            refusal.__cause__ = cause
            ticket._end(error=refusal)
        for future in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(BusyError(reason))
        for number in self._admitted:
            self._generator.cancel(number)

    def _follow_orders(self) -> bool:
        """Wait for something to do; cancel, look at deadlines and admit. False when the thread shall end."""
        with self._changed:
            has_orders = self._queued or self._to_cancel or self._calls or self._is_closing
            while not (has_orders or self._generator.has_work):
                self._changed.wait()
                has_orders = self._queued or self._to_cancel or self._calls or self._is_closing
            if self._is_closing and not (self._is_draining and (self._queued or self._admitted or self._calls)):
                return False
            now_s = time.monotonic()
            unwanted = {*self._to_cancel, *(ticket for ticket in self._queued if ticket.is_late(now_s))}
            self._to_cancel = []
            left = [ticket for ticket in self._queued if ticket in unwanted]
            self._queued = deque(ticket for ticket in self._queued if ticket not in unwanted)
        unwanted.update(ticket for ticket in self._admitted.values() if ticket.is_late(now_s))
        for number, ticket in list(self._admitted.items()):
            # A request that has just ended gives nothing: its last events are on their way.
            if ticket in unwanted and (completions := self._generator.cancel(number)):
                del self._admitted[number]
                ticket._end(completions)
        for ticket in left:
            read = ticket.prompt.features.read
            ticket._end([Completion.unwritten(read) for _ in range(ticket.sampling.num_samples)])
        self._admit()
        self._make_call()
        return True

    def _make_call(self) -> None:
        with self._changed:
            future, function = self._calls.popleft() if self._calls else (None, None)
        if future is None or function is None or not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - the boundary of a call: whoever made it gets its error
            future.set_exception(error)
        else:
            future.set_result(result)

    def _admit(self) -> None:
        """Hand the generator as many requests as keep it busy."""
        while self._queued and self._generator.num_wanted:
            ticket = self._queued[0]  # the owner alone takes from the queue
            try:
                (number,) = self._generator.admit([ticket.prompt], ticket.sampling)
            except Exception as error:  # noqa: BLE001 - the boundary of a request: the others go on
                ticket._end(error=error)
            else:
                self._admitted[number] = ticket
            with self._changed:
                self._queued.popleft()

    def _step(self) -> None:
        """Make one token for every live row and hand it to whom it is for."""
        try:
            events = self._generator.step()
        except GenerationError as error:
            self._admitted.pop(error.request)._end(error=error)
            return
        for event in events:
            if self._admitted[event.request]._hand(event):
                del self._admitted[event.request]
