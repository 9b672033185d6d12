"""What a trace.dat tells beside its records, for the provenance: names, versions, guests, clocks."""

from __future__ import annotations

from fastgup_trace.ingest.cursor import Cursor
from fastgup_trace.ingest.trace_dat import container as parts
from fastgup_trace.ingest.trace_dat.container import Container
from fastgup_trace.ingest.trace_dat.times import Times

_TEXTS = {"uname": parts.UNAME, "trace_cmd": parts.VERSION, "date": parts.DATE, "offset": parts.OFFSET}


def details(container: Container, times: Times, kernel_long_bytes: int, sub_buffer_bytes: int) -> dict[str, object]:
    """Raises RecordingError for a GUEST option that is not whole."""
    found: dict[str, object] = {key: text for key, number in _TEXTS.items() if (text := container.option_text(number))}
    if clocks := container.clocks or container.option_text(parts.TRACECLOCK):
        found["trace_clock"] = clocks
    instances: dict[str, list[int]] = {}
    for stream in container.streams:
        instances.setdefault(stream.instance, []).append(stream.cpu)
    found["instances"] = [{"name": name, "cpus": cpus} for name, cpus in instances.items()]
    found["sub_buffer_bytes"] = sub_buffer_bytes
    found["compression"] = container.compression
    found["kernel_long_bytes"] = kernel_long_bytes
    if (trace_id := container.option_number(parts.TRACEID)) is not None:
        found["trace_id"] = f"{trace_id:#x}"
    if stats := container.options.get(parts.CPUSTAT):
        found["cpustat"] = [stat.split(b"\0")[0].decode("utf-8", "backslashreplace").strip() for stat in stats]
    if guests := container.options.get(parts.GUEST):
        found["guests"] = [_guest(container, guest) for guest in guests]
    return found | times.details()


def _guest(container: Container, option: bytes) -> dict[str, object]:
    """A GUEST option: the guest's name and trace id, and the host's thread of each virtual CPU."""
    cursor = Cursor(memoryview(option), f"{container.path}: option GUEST", container.big_endian)
    name, trace_id = cursor.text("the name of a guest"), cursor.number(8, "a guest's trace id")
    count = parts.cpu_count(cursor, cursor.number(4, "the number of a guest's CPUs"))
    threads: dict[str, int] = {}
    for _ in range(count):
        cpu, pid = cursor.number(4, "a guest's CPU"), cursor.number(4, "a host's thread")
        threads[str(cpu)] = pid
    return {"name": name, "trace_id": f"{trace_id:#x}", "host_pid_of_vcpu": threads}
