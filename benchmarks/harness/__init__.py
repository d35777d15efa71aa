"""The measurement harness.

clock       the time of a step: the host's, or CUDA events
measure     a peer's job, and timed turns of it
worker      the parent's side of a peer's process; `server` is the other side
turns       peers that take turns, and the medians of their times
deadline    time limits
suite       a suite: its cases and peers, and the table of their times
machine     what the figures were measured on
tables      Markdown
"""
