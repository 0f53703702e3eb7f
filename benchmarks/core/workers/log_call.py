"""Microseconds of one call that logs one number."""

import time

import log_systems
from serve import serve, settings

log, end = getattr(log_systems, settings()["system"])(settings())
log("loss", 0.5)  # files are opened, threads are started


def measure(calls):
    values = [1.0 / (index + 3) for index in range(calls)]
    began = time.perf_counter()
    for value in values:
        log("loss", value)
    return (time.perf_counter() - began) / calls * 1e6


serve(measure)
end()
