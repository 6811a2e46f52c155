"""Warm calls of a function, measured by valgrind or tracemalloc: `process_warm.py valgrind|memory CALLS HTTP-EVENT`.

`session.run` is not measured: ONNX Runtime is a stand-in. Under valgrind, counting begins after the first calls, and
each os.getpgid(0) makes it write a profile: of HTTP events, careless and watched ones, of predict. With `memory`, the
last line is JSON: {name: [maximum bytes that a call allocated at once, blocks that each call kept]}.
"""

import ctypes
import gc
import json
import mmap
import os
import sys
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace

import app  # type: ignore[import-not-found]

from hearth.models.cache import warm_cache

WARMUP_CALLS = 200
"""Number of calls after which neither caches nor free lists grow."""
START_INSTRUMENTATION = (ord("C") << 24 | ord("T") << 16) + 4
"""Callgrind's request, as callgrind.h numbers it."""
PREAMBLE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""Client request of valgrind.h on x86-64: rax has the request's address, rdx the result, zero without valgrind; then
rotations of rdi, which together do nothing, and `xchg rbx, rbx`."""


def start_counting() -> None:
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(PREAMBLE)
        code = ctypes.c_char.from_buffer(page)
        request = (ctypes.c_ulong * 6)(START_INSTRUMENTATION)
        ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(ctypes.addressof(code))(ctypes.addressof(request))
        del code


def under_valgrind(workloads: dict[str, Callable[[], None]], calls: int) -> None:
    start_counting()
    for call in workloads.values():
        call()
        os.getpgid(0)  # discard what came before
        for _ in range(calls):
            call()
        os.getpgid(0)


def blocks_kept(call: Callable[[], None], calls: int) -> float:
    """Memory blocks that each call keeps, averaged over `calls`."""
    gc.collect()
    allocated = sys.getallocatedblocks()
    for _ in range(calls):
        call()
    gc.collect()
    return (sys.getallocatedblocks() - allocated) / calls


def memory(workloads: dict[str, Callable[[], None]], calls: int) -> None:
    figures = {}
    for name, call in workloads.items():
        for _ in range(WARMUP_CALLS):
            call()
        blocks = min(blocks_kept(call, 10 * calls) for _ in range(3))  # the minimum, because a leak shows every time
        tracemalloc.start()
        call()
        traced = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        figures[name] = [tracemalloc.get_traced_memory()[1] - traced, blocks]
        tracemalloc.stop()
    print("\n" + json.dumps(figures))


def main() -> None:
    event = json.loads(sys.argv[3])
    context = SimpleNamespace(aws_request_id="request", get_remaining_time_in_millis=lambda: 900_000)
    request = app.Request(json.loads(event["body"])["inputs"])
    leaked: list[str] = []

    def http() -> None:
        response = app.handler(event, context)
        assert response["statusCode"] == 200, response

    def careless() -> None:
        leaked.extend(json.dumps(event) for _ in range(10))
        http()

    def watched() -> None:
        warm_cache()._watches = True
        http()
        warm_cache()._watches = False

    def predict() -> None:
        with warm_cache().get("sentiment-en") as model:
            app.predict(model, request)

    workloads = {"HTTP": http, "careless HTTP": careless, "watched HTTP": watched, "predict": predict}
    for call in workloads.values():
        for _ in range(3):
            call()
    (under_valgrind if sys.argv[1] == "valgrind" else memory)(workloads, int(sys.argv[2]))


if __name__ == "__main__":
    main()
