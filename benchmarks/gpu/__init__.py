"""The parts of `make gpu`: `python benchmarks gpu --help`.

command        the command line, and the exit status of a part
results        files that keep what was measured; `pages` and `table` are Markdown made from them
timing         the parts `gru` and `cells`; `training` is the part `train`, `tests` the part of that name
floor          the time that no program can beat; `goals` says how much faster than peers is enough
agreement      errors beside float64 on the CPU
probe          two minutes that find what would spoil all other parts; its processes run `probe_worker`
requests       the requests that a peer's process answers
"""
