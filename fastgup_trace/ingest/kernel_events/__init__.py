"""The kernel's own description of its events, and records decoded by it: shared by every binary format."""
