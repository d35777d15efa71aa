"""The parts of `make gpu`: `python benchmarks gpu --help`.

command        the command line, and the exit status of a part
results        result files; `pages` and `table` make Markdown from them
timing         the parts `gru` and `cells`; `training` is the part `train`, `tests` the part of that name
floor          a lower bound for the time; `goals` defines the required speed relative to peers
agreement      errors compared with float64 on the CPU
probe          a two-minute check for problems that would spoil other parts; runs `probe_worker`
requests       requests answered by a peer's process
"""
