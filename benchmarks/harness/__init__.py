"""How anything is measured.

clock       the time of a step: the host's, or CUDA events
measure     a peer's job, and turns of it
worker      a peer in a process of its own, seen from outside; `server` is the other side
turns       peers that take turns, and the medians of their times
deadline    the end of the time that there is
suite       a suite: its cases and peers, and the table of their times
machine     what the figures were measured on
tables      Markdown
"""
