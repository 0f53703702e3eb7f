"""Logs `count` numbers, says so, and does nothing more until it is killed."""

import time

import log_systems
from serve import say, settings

SETTINGS = settings()
log, _ = getattr(log_systems, SETTINGS["system"])(SETTINGS)
say("ready")
for index in range(SETTINGS["count"]):
    log("loss", 1.0 / (index + 3))
say(SETTINGS["count"])
while True:
    time.sleep(60)
