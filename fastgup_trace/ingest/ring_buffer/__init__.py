"""The pages of ftrace's ring buffer, and the records of all CPUs in time order."""
