"""Work done ahead of its use, in a thread of its own: while one item is used the next is made.

It pays where making an item leaves the interpreter's lock to others: in compiled loops, in numpy and Arrow on large
columns, in unpacking. Nobody else may touch meanwhile what the items are made of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


def cores() -> int:
    """How many CPUs this process may run on: fewer than the machine has under taskset or in a container's cpuset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ahead(items: Iterable[T], threaded: bool) -> Iterator[T]:
    """The same items, each made while the one before it is used; with `threaded` False just the items.

    At most two are there at a time, the one in use and the one that is made or waits: what makes them in buffers of
    its own needs two. The thread begins with the first item and is gone when the iterator ends: behind the last item,
    with an exception (raised here, in its place among the items), or because it is closed or dropped.
    """
    if not threaded:
        yield from items
        return
    maker = _Maker(iter(items))
    try:
        maker.start()
        while (made := maker.next()) is not None:
            yield made.item
            del made  # what the user has let go of need not stay until the next item is there
    finally:
        maker.stop()


@dataclass(frozen=True)
class _Made(Generic[T]):
    item: T


class _Maker(Generic[T]):
    """The thread; `items` are used, and closed, in it alone."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._made = SimpleQueue[_Made[T] | BaseException | None]()
        self._room, self._stopped = Semaphore(1), Event()
        self._thread = Thread(target=self._run, name="fastgup-trace ahead", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def next(self) -> _Made[T] | None:
        """Waits for the next item; None behind the last. Raises what ended them."""
        made = self._made.get()
        if isinstance(made, BaseException):
            raise made
        self._room.release()
        return made

    def stop(self) -> None:
        """Waits until the thread is done with the item that it makes."""
        self._stopped.set()
        self._room.release()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            while self._room.acquire() and not self._stopped.is_set():
                try:
                    self._made.put(_Made(next(self._items)))
                except StopIteration:
                    break
        except BaseException as error:  # a KeyboardInterrupt too, which a callback may raise
            end = error
        try:
            if close := getattr(self._items, "close", None):
                close()
        except BaseException as error:
            end = end or error
        self._made.put(end)
