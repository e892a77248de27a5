"""The models of bodies, as threads use them."""

from __future__ import annotations

import subprocess
import sys


FIRST_USE = """
import json
import sys
import threading

import msgspec

from galaxy_jobs.entrypoints import app


def below(model):
    for each in model.__subclasses__():
        yield each
        yield from below(each)


models = [
    model
    for model in dict.fromkeys(below(msgspec.Struct))
    if model.__module__.startswith("galaxy_jobs.entrypoints.api")
]
assert len(models) > 50
bodies = [
    json.dumps(dict.fromkeys(reversed(model.__struct_encode_fields__))).encode()
    for model in models
]
barrier = threading.Barrier(8)


def use():
    barrier.wait()
    for model, body in zip(models, bodies):
        try:
            msgspec.json.decode(body, type=model)
        except msgspec.ValidationError:
            pass


sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_may_be_the_first_to_use_a_model_at_the_same_time() -> None:
    for _ in range(3):
        subprocess.run([sys.executable, "-c", FIRST_USE], check=True, timeout=60)
