"""Numbers of the perf ABI, include/uapi/linux/perf_event.h, and of the file, tools/perf/util/header.h (v6.18)."""

from __future__ import annotations

from typing import Final

# enum perf_event_type: what the kernel writes
MMAP, LOST, COMM, EXIT, THROTTLE, UNTHROTTLE, FORK, READ, SAMPLE, MMAP2, AUX = range(1, 12)
ITRACE_START, LOST_SAMPLES, SWITCH, SWITCH_CPU_WIDE, NAMESPACES, KSYMBOL, BPF_EVENT = range(12, 19)
CGROUP, TEXT_POKE, AUX_OUTPUT_HW_ID, CALLCHAIN_DEFERRED = range(19, 23)

# enum perf_user_event_type: what perf itself puts between (PERF_RECORD_USER_TYPE_START is 64)
USER: Final = 64
HEADER_ATTR, EVENT_TYPE, TRACING_DATA, BUILD_ID, FINISHED_ROUND, ID_INDEX, AUXTRACE_INFO, AUXTRACE = range(64, 72)
AUXTRACE_ERROR, THREAD_MAP, CPU_MAP, STAT_CONFIG, STAT, STAT_ROUND, EVENT_UPDATE, TIME_CONV = range(72, 80)
HEADER_FEATURE, COMPRESSED, FINISHED_INIT, COMPRESSED2, BPF_METADATA = range(80, 85)

RECORD_NAMES: Final = {
    MMAP: "MMAP", LOST: "LOST", COMM: "COMM", EXIT: "EXIT", THROTTLE: "THROTTLE", UNTHROTTLE: "UNTHROTTLE",
    FORK: "FORK", READ: "READ", MMAP2: "MMAP2", AUX: "AUX", ITRACE_START: "ITRACE_START",
    LOST_SAMPLES: "LOST_SAMPLES", SWITCH: "SWITCH", SWITCH_CPU_WIDE: "SWITCH_CPU_WIDE", NAMESPACES: "NAMESPACES",
    KSYMBOL: "KSYMBOL", BPF_EVENT: "BPF_EVENT", CGROUP: "CGROUP", TEXT_POKE: "TEXT_POKE",
    AUX_OUTPUT_HW_ID: "AUX_OUTPUT_HW_ID", CALLCHAIN_DEFERRED: "CALLCHAIN_DEFERRED",
    AUXTRACE_INFO: "AUXTRACE_INFO", AUXTRACE: "AUXTRACE", AUXTRACE_ERROR: "AUXTRACE_ERROR",
}  # fmt: skip

HEADER_BYTES: Final = 8
"""struct perf_event_header: u32 type, u16 misc, u16 size."""

# perf_event_header.misc
CPUMODE_MASK: Final = 7
CPUMODE_KERNEL: Final = 1
MISC_COMM_EXEC: Final = 1 << 13
MISC_SWITCH_OUT: Final = 1 << 13
MISC_SWITCH_OUT_PREEMPT: Final = 1 << 14
MISC_MMAP_BUILD_ID: Final = 1 << 14
MISC_LOST_SAMPLES_BPF: Final = 1 << 15
"""What a BPF filter dropped on purpose (tools/lib/perf/include/perf/event.h, v6.3)."""

# enum perf_event_sample_format
IP, TID, TIME, ADDR, SAMPLE_READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID, RAW = (1 << bit for bit in range(11))
IDENTIFIER: Final = 1 << 16

SAMPLE_ORDER: Final = (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD)
"""The fields of a sample that have 8 bytes, in their order; behind them READ, CALLCHAIN, RAW and what isn't read."""

TRAILER_ORDER: Final = (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER)
"""struct sample_id, at the end of every other record of an event with sample_id_all."""

# enum perf_event_read_format
FORMAT_ENABLED, FORMAT_RUNNING, FORMAT_ID, FORMAT_GROUP, FORMAT_LOST = (1 << bit for bit in range(5))

# perf_event_attr.type
HARDWARE, SOFTWARE, TRACEPOINT, HW_CACHE, RAW_EVENT, BREAKPOINT = range(6)

HARDWARE_NAMES: Final = (
    "cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses", "bus-cycles",
    "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles",
)  # fmt: skip
SOFTWARE_NAMES: Final = (
    "cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults", "major-faults",
    "alignment-faults", "emulation-faults", "dummy", "bpf-output", "cgroup-switches",
)  # fmt: skip
CACHE_NAMES: Final = ("L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node")
CACHE_OPERATIONS: Final = (("load", "loads"), ("store", "stores"), ("prefetch", "prefetches"))

CLOCKS: Final = {0: "realtime", 1: "mono", 4: "mono_raw", 7: "boot", 11: "tai"}
"""clockid_t (include/uapi/linux/time.h) -> the trace clock of the same time, where ftrace has one."""

# Feature bits of the file's header (tools/perf/util/header.h)
FEATURE_TRACING_DATA, FEATURE_HOSTNAME, FEATURE_OSRELEASE, FEATURE_VERSION, FEATURE_ARCH = 1, 3, 4, 5, 6
FEATURE_NRCPUS, FEATURE_CMDLINE, FEATURE_EVENT_DESC, FEATURE_CLOCK_DATA = 7, 11, 12, 29
FEATURES_MAX: Final = 256
