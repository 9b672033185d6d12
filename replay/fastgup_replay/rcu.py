"""RCU-sched grace periods, driven by the quiescent states that the recording shows.

The rules, with their source (v3.13 kernel/rcu/tree.c; the same in v6.1 for these purposes):

- A callback waits for the first grace period that starts after it was queued, and is invoked in the RCU softirq of
  the CPU that queued it. call_rcu itself starts nothing: the CPU's next tick notices the callback.
- A grace period ends when every CPU has passed a quiescent state in it. A CPU learns of a new grace period at its
  tick or RCU softirq; only what it passes after that counts: a context switch, or a tick outside the kernel, each
  reported at a tick or softirq of that CPU. Being idle counts too: the force-quiescent-state scan sees it, `fqs_ns`
  after the start and every `fqs_ns` from then on.
- While a callback waits on a CPU its tick goes on even when it is idle, so what waits for "the next tick" waits for a
  jiffy at most on an idle CPU, whatever the recorded kernel needed there.

A walk with interrupts off can't be interrupted by a tick or a switch, so it delays a grace period by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Invoke = Callable[[int, int], None]
"""Called with (batch, time_ns) when the callback of a batch runs."""

FOREIGN = -1
"""The callback of another subsystem: it asks for a grace period and frees nothing of ours."""


@dataclass
class _Cpu:
    idle: bool = False
    knows: bool = False  # has noticed the current grace period
    switched: bool = False  # passed a quiescent state since then, not yet reported
    owes: bool = False  # has still to report in this grace period
    fresh: list[int] = field(default_factory=list)  # queued, waiting for the next grace period
    waiting: list[int] = field(default_factory=list)  # waiting for the end of the current one
    ready: list[int] = field(default_factory=list)  # waiting for this CPU's softirq
    noticed: bool = False  # a tick has seen the fresh callbacks


class GracePeriods:
    """One RCU-sched state machine over all CPUs; events must come in time order."""

    def __init__(
        self, idle: Sequence[bool], jiffy_ns: int, fqs_ns: int, invoke: Invoke, *, ticks_recorded: bool = True
    ) -> None:
        """`idle`: whether each CPU begins in its idle task. Without recorded ticks every CPU is assumed to tick
        and to be found quiescent by each scan."""
        self._cpus = [_Cpu(idle=state) for state in idle]
        self._jiffy_ns, self._fqs_ns, self._invoke = jiffy_ns, fqs_ns, invoke
        self._ticks_recorded = ticks_recorded
        self._active = False
        self._owing = 0
        self._scan_ns = 0
        self._idle_tick_ns: dict[int, int] = {}  # idle CPU with callbacks -> when its own tick would come
        self.completed = 0
        """Grace periods ended so far."""

    def queue(self, cpu: int, ts_ns: int, batch: int) -> None:
        """call_rcu_sched on `cpu`: `batch` is invoked after a grace period that starts from here on."""
        self.advance(ts_ns)
        state = self._cpus[cpu]
        state.fresh.append(batch)
        self._keep_ticking(cpu, self._idle_tick_ns.get(cpu, ts_ns + self._jiffy_ns))

    def switch(self, cpu: int, ts_ns: int, idle: bool) -> None:
        """A context switch on `cpu`, to the idle task or away from it."""
        self.advance(ts_ns)
        state = self._cpus[cpu]
        state.idle = idle
        state.switched = True
        self._keep_ticking(cpu, self._idle_tick_ns.get(cpu, ts_ns + self._jiffy_ns))

    def tick(self, cpu: int, ts_ns: int, quiescent: bool) -> None:
        """The scheduling-clock interrupt on `cpu`; `quiescent` unless it is known to have hit the kernel or a walk."""
        self.advance(ts_ns)
        if quiescent:
            self._cpus[cpu].switched = True
        self.core(cpu, ts_ns)

    def core(self, cpu: int, ts_ns: int) -> None:
        """The RCU softirq runs on `cpu`: report, notice, invoke."""
        self.advance(ts_ns)
        state = self._cpus[cpu]
        if self._active and state.owes:
            if not state.knows:
                state.knows, state.switched = True, False
            elif state.switched:
                self._report(state, ts_ns)
        if state.ready:
            batches, state.ready = state.ready, []
            for batch in batches:
                if batch != FOREIGN:
                    self._invoke(batch, ts_ns)
        if state.fresh:
            state.noticed = True
            if not self._active:
                self._start(ts_ns)
        self._keep_ticking(cpu, ts_ns + self._jiffy_ns)

    def advance(self, ts_ns: int) -> None:
        """Let the scans and the ticks of idle CPUs happen that are due before `ts_ns`."""
        while True:
            cpu, due = min(self._idle_tick_ns.items(), key=lambda item: item[1], default=(-1, ts_ns))
            if self._active and self._scan_ns < min(due, ts_ns):
                self._scan()
            elif due < ts_ns:
                del self._idle_tick_ns[cpu]
                self._cpus[cpu].switched = True
                self.core(cpu, due)
            else:
                return

    def _keep_ticking(self, cpu: int, next_ns: int) -> None:
        """An idle CPU with callbacks ticks at `next_ns`; a busy one's ticks are in the recording."""
        state = self._cpus[cpu]
        if (state.idle or not self._ticks_recorded) and (state.fresh or state.waiting or state.ready):
            self._idle_tick_ns[cpu] = next_ns
        else:
            self._idle_tick_ns.pop(cpu, None)

    def _start(self, ts_ns: int) -> None:
        self._active = True
        self._scan_ns = ts_ns + self._fqs_ns
        self._owing = len(self._cpus)
        for state in self._cpus:
            state.owes, state.knows, state.switched = True, False, False
            # The callbacks queued so far, noticed or not, are covered: this grace period starts after them.
            state.waiting += state.fresh
            state.fresh, state.noticed = [], False

    def _report(self, state: _Cpu, ts_ns: int) -> None:
        state.owes = False
        self._owing -= 1
        if not self._owing:
            self._end(ts_ns)

    def _scan(self) -> None:
        """The force-quiescent-state scan: idle CPUs count as having reported."""
        now_ns = self._scan_ns
        self._scan_ns += self._fqs_ns
        for state in [s for s in self._cpus if s.owes and (s.idle or not self._ticks_recorded)]:
            self._report(state, now_ns)

    def _end(self, ts_ns: int) -> None:
        self._active = False
        self.completed += 1
        for state in self._cpus:
            state.ready += state.waiting
            state.waiting = []
        if any(state.noticed for state in self._cpus):
            self._start(ts_ns)
