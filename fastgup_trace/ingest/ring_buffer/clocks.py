"""What the trace clocks of the kernel count."""

from __future__ import annotations

NS_CLOCKS = frozenset(("local", "global", "perf", "mono", "mono_raw", "boot", "tai"))
"""Trace clocks whose stamps, also in the statistics, are times."""

TICK_CLOCKS = ("x86-tsc", "ppc-tb", "counter", "uptime")
"""Trace clocks that count something other than nanoseconds (kernel/trace/trace.c, trace_clocks: in_ns 0); uptime
counts hundredths of a second (trace_clock_jiffies)."""
