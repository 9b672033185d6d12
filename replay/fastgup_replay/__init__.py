"""fastgup_replay: what a capture's operations would have cost under each mechanism.

timeline     the operations of a capture in time order
mechanisms   the designs, each a frozen record of policies
platforms    the machines they run on
rcu          grace periods from quiescent states
engine       the reference engine: one pass of the timeline for each mechanism
outcome      what a replay yields: tables and summary.json
validate     predicted against measured, on kernels that contain the mechanism
"""
