"""The threads that share rows of work: one pool per process, in native code that needs no GIL.

The pool's threads sleep until there is work. Rows are handed out in pieces, so that a thread that starts
late, or shares its core with another process, gets fewer of them. The thread that brings the work takes part,
and never waits for one that has not begun.

Meanwhile the BLAS is told to use one thread: its own would wait for each other at every product, and for
milliseconds after one they spin where a thread of the pool could run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

#: Work, in floating-point operations, that is worth waking a thread for.
LEAST = 8_000_000
#: Rows that a matrix product handles at a time.
TILE = 8
#: How often a thread looks for more work before it goes to sleep. That is some 100 us: to wake a thread takes
#: half as long, and the next item of the same program is often nearer than that.
LOOKS = 2500

_FIELDS = (
    *("function", "closure", "rows", "piece", "next", "job", "running", "least", "tile", "busy"),
    # how many threads there are and may be used, and whether that follows what the BLAS is told
    *("threads", "used", "follows"),
    # the BLAS's functions for its number of threads, the number that it had, and who needs it to be 1
    *("get", "set", "had", "users"),
)
_SLOTS = {name: i for i, name in enumerate(_FIELDS)}
#: Offsets of the mutex and the two conditions, in words; 64 bytes hold each on every known system.
_MUTEX, _GO, _DONE, _SIZE = 24, 32, 40, 48


#: What a processor has for threads that wait in a loop: a declaration and a call.
_PAUSE, _PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}.get(platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64"), ("", ""))

_PLACES = f"""\
  %mutex = getelementptr i64, ptr %pool, i64 {_MUTEX}
  %go = getelementptr i64, ptr %pool, i64 {_GO}
  %done = getelementptr i64, ptr %pool, i64 {_DONE}"""


def _at(name: str) -> str:
    return f"getelementptr i64, ptr %pool, i64 {_SLOTS[name]}"


def text() -> str:
    """Return the pool's functions in LLVM IR.

    `run` shares rows, `work` is the life of a thread; between `enter` and `leave` the BLAS uses one thread.
    """
    return f"""
{_PAUSE}
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)

define void @initialise(ptr %pool) nounwind {{
{_PLACES}
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %go, ptr null)
  call i32 @pthread_cond_init(ptr %done, ptr null)
  ret void
}}

define void @enter(ptr %pool) nounwind {{
entry:
  %mutex = getelementptr i64, ptr %pool, i64 {_MUTEX}
  %users.at = {_at("users")}
  %get.at = {_at("get")}
  %get = load ptr, ptr %get.at
  %none = icmp eq ptr %get, null
  br i1 %none, label %end, label %locked
locked:
  call i32 @pthread_mutex_lock(ptr %mutex)
  %users = load i64, ptr %users.at
  %more = add i64 %users, 1
  store i64 %more, ptr %users.at
  %first = icmp eq i64 %users, 0
  br i1 %first, label %tell, label %unlock
tell:
  %had = call i32 %get()
  %had.at = {_at("had")}
  %had64 = sext i32 %had to i64
  store i64 %had64, ptr %had.at
  %set.at = {_at("set")}
  %set = load ptr, ptr %set.at
  call void %set(i32 1)
  %follows.at = {_at("follows")}
  %follows = load i64, ptr %follows.at
  %free = icmp eq i64 %follows, 0
  br i1 %free, label %unlock, label %follow
follow:
  %threads.at = {_at("threads")}
  %threads = load i64, ptr %threads.at
  %fewer = icmp slt i64 %had64, %threads
  %used = select i1 %fewer, i64 %had64, i64 %threads
  %used.at = {_at("used")}
  store i64 %used, ptr %used.at
  br label %unlock
unlock:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %end
end:
  ret void
}}

define void @leave(ptr %pool) nounwind {{
entry:
  %mutex = getelementptr i64, ptr %pool, i64 {_MUTEX}
  %users.at = {_at("users")}
  %get.at = {_at("get")}
  %get = load ptr, ptr %get.at
  %none = icmp eq ptr %get, null
  br i1 %none, label %end, label %locked
locked:
  call i32 @pthread_mutex_lock(ptr %mutex)
  %users = load i64, ptr %users.at
  %fewer = sub i64 %users, 1
  store i64 %fewer, ptr %users.at
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %tell, label %unlock
tell:
  %had.at = {_at("had")}
  %had64 = load i64, ptr %had.at
  %had = trunc i64 %had64 to i32
  %set.at = {_at("set")}
  %set = load ptr, ptr %set.at
  call void %set(i32 %had)
  br label %unlock
unlock:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %end
end:
  ret void
}}

; waits a moment while the number at %place is %value
define internal void @linger(ptr %place, i64 %value) nounwind {{
entry:
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  %now = load atomic i64, ptr %place acquire, align 8
  %same = icmp eq i64 %now, %value
  %left = icmp slt i64 %i, {LOOKS}
  %stay = and i1 %same, %left
  br i1 %stay, label %again, label %end
again:
  {_PAUSES}
  %next = add i64 %i, 1
  br label %look
end:
  ret void
}}

; takes pieces of the rows until none is left
define internal void @take(ptr %pool, ptr %function, ptr %closure, i64 %rows, i64 %piece) nounwind {{
entry:
  %next = {_at("next")}
  br label %again
again:
  %first = atomicrmw add ptr %next, i64 %piece seq_cst
  %some = icmp slt i64 %first, %rows
  br i1 %some, label %run, label %end
run:
  %left = sub i64 %rows, %first
  %whole = icmp slt i64 %piece, %left
  %count = select i1 %whole, i64 %piece, i64 %left
  call void %function(ptr %closure, i64 %first, i64 %count)
  br label %again
end:
  ret void
}}

; function(closure, first, count) for all rows, by as many threads as the work is worth, `pieces` for each
define void @run(ptr %pool, ptr %function, ptr %closure, i64 %rows, i64 %work, i64 %pieces) nounwind {{
entry:
  %threads.at = {_at("used")}
  %threads = load i64, ptr %threads.at
  %least.at = {_at("least")}
  %least = load i64, ptr %least.at
  %worth = udiv i64 %work, %least
  %enough = icmp slt i64 %worth, %threads
  %wanted = select i1 %enough, i64 %worth, i64 %threads
  %few = icmp slt i64 %rows, %wanted
  %used = select i1 %few, i64 %rows, i64 %wanted
  %one = icmp slt i64 %used, 2
  br i1 %one, label %alone, label %ask
ask:
  %busy = {_at("busy")}
  %pair = cmpxchg ptr %busy, i64 0, i64 1 seq_cst seq_cst
  %mine = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %mine, label %share, label %alone
alone:
  call void %function(ptr %closure, i64 0, i64 %rows)
  ret void
share:
  ; pieces of whole tiles; one a thread where they would be smaller than a tile
  %tile.at = {_at("tile")}
  %tile = load i64, ptr %tile.at
  %up = add i64 %rows, %used
  %up1 = sub i64 %up, 1
  %each = udiv i64 %up1, %used
  %part = udiv i64 %each, %pieces
  %large = icmp sge i64 %part, %tile
  %part.up = add i64 %part, %tile
  %part.up1 = sub i64 %part.up, 1
  %tiles = udiv i64 %part.up1, %tile
  %whole = mul i64 %tiles, %tile
  %piece = select i1 %large, i64 %whole, i64 %each
{_PLACES}
  %function.at = {_at("function")}
  %closure.at = {_at("closure")}
  %rows.at = {_at("rows")}
  %piece.at = {_at("piece")}
  %next.at = {_at("next")}
  %job.at = {_at("job")}
  %running.at = {_at("running")}
  call i32 @pthread_mutex_lock(ptr %mutex)
  store ptr %function, ptr %function.at
  store ptr %closure, ptr %closure.at
  store i64 %rows, ptr %rows.at
  store i64 %piece, ptr %piece.at
  store i64 0, ptr %next.at
  %job = load i64, ptr %job.at
  %job.next = add i64 %job, 1
  store i64 %job.next, ptr %job.at
  call i32 @pthread_cond_broadcast(ptr %go)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @take(ptr %pool, ptr %function, ptr %closure, i64 %rows, i64 %piece)
  call void @linger(ptr %running.at, i64 1)
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %check
check:
  %running = load i64, ptr %running.at
  %idle = icmp eq i64 %running, 0
  br i1 %idle, label %end, label %wait
wait:
  call i32 @pthread_cond_wait(ptr %done, ptr %mutex)
  br label %check
end:
  ; a thread that wakes up only now must not take from the next job with this job's function
  store ptr null, ptr %function.at
  call i32 @pthread_mutex_unlock(ptr %mutex)
  store atomic i64 0, ptr %busy seq_cst, align 8
  ret void
}}

define void @work(ptr %pool) nounwind {{
entry:
{_PLACES}
  %function.at = {_at("function")}
  %closure.at = {_at("closure")}
  %rows.at = {_at("rows")}
  %piece.at = {_at("piece")}
  %job.at = {_at("job")}
  %running.at = {_at("running")}
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %check
check:
  %seen = phi i64 [ 0, %entry ], [ %seen, %wait ], [ %seen, %sleep ], [ %job, %look ], [ %job, %left ]
  %job = load i64, ptr %job.at
  %same = icmp eq i64 %job, %seen
  br i1 %same, label %wait, label %look
wait:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @linger(ptr %job.at, i64 %seen)
  call i32 @pthread_mutex_lock(ptr %mutex)
  %now.job = load i64, ptr %job.at
  %still = icmp eq i64 %now.job, %seen
  br i1 %still, label %sleep, label %check
sleep:
  call i32 @pthread_cond_wait(ptr %go, ptr %mutex)
  br label %check
look:
  %function = load ptr, ptr %function.at
  %over = icmp eq ptr %function, null
  br i1 %over, label %check, label %join
join:
  %closure = load ptr, ptr %closure.at
  %rows = load i64, ptr %rows.at
  %piece = load i64, ptr %piece.at
  %running = load i64, ptr %running.at
  %more = add i64 %running, 1
  store i64 %more, ptr %running.at
  call i32 @pthread_mutex_unlock(ptr %mutex)
  call void @take(ptr %pool, ptr %function, ptr %closure, i64 %rows, i64 %piece)
  call i32 @pthread_mutex_lock(ptr %mutex)
  %now = load i64, ptr %running.at
  %fewer = sub i64 %now, 1
  store i64 %fewer, ptr %running.at
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %tell, label %left
tell:
  call i32 @pthread_cond_signal(ptr %done)
  br label %left
left:
  br label %check
}}
"""


class Pool:
    """Threads that run native code, started at first use, and again in the child of a fork.

    `load(text)` compiles the pool's functions. `get` and `set` are the addresses of the BLAS's functions for
    its number of threads, 0 if it has none.
    """

    def __init__(self, load: Callable[[str], Any], get: int, set: int) -> None:
        self._memory = np.zeros(_SIZE, np.int64)
        self.address = int(self._memory.ctypes.data)
        code = self._code = load(text())
        self.functions = (code.address, code.at("enter"), code.at("leave"))
        self.has_blas = bool(get and set)
        self._blas = (get, set) if self.has_blas else (0, 0)
        said = told()
        self._follows = said is None
        self.count = said or (int(ctypes.CFUNCTYPE(ctypes.c_int)(get)()) if self.has_blas else cores())
        self._lock = threading.Lock()
        self.started = False

    def __getitem__(self, field: str) -> int:
        return int(self._memory[_SLOTS[field]])

    def __setitem__(self, field: str, value: int) -> None:
        self._memory[_SLOTS[field]] = value

    def start(self) -> None:
        """Start the threads."""
        with self._lock:
            if self.started:
                return
            function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
            function(self._code.at("initialise"))(self.address)
            self["least"], self["tile"] = LEAST, TILE
            self["threads"] = self["used"] = self.count
            self["follows"] = self._follows
            self["get"], self["set"] = self._blas
            work = function(self._code.at("work"))
            for i in range(1, self.count):
                try:
                    threading.Thread(
                        target=work, args=(self.address,), name=f"xgrad-{i}", daemon=True
                    ).start()
                except RuntimeError:  # the system allows no more
                    self["threads"] = self["used"] = i
                    break
            self.started = True

    def forget(self) -> None:
        """Prepare to start anew, in the child of a fork, where the threads are gone."""
        self._lock = threading.Lock()
        had, users = self._memory[_SLOTS["had"]], self._memory[_SLOTS["users"]]
        self._memory[:] = 0
        self.started = False
        if users:  # another thread of the parent was in native code
            ctypes.CFUNCTYPE(None, ctypes.c_int)(self._blas[1])(int(had))


def told() -> int | None:
    """Return the number of threads that XGRAD_NUM_THREADS says, None if it is not set.

    Raises ValueError unless it is a positive integer.
    """
    said = os.environ.get("XGRAD_NUM_THREADS")
    if said is None:
        return None
    if not said.strip().isdecimal() or int(said) < 1:
        raise ValueError(f"XGRAD_NUM_THREADS={said!r} is not a positive number of threads, such as 4")
    return int(said)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
