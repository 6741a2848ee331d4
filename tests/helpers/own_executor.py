"""An executor of a user's own, as a file: one thread of the process itself, which imports nothing once more."""

NAME = "threads of mine"
THREADS = f"""from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from adabm.study.running.executors import EXECUTORS, Workers

@EXECUTORS.register("{NAME}")
@contextmanager
def threads(request):
    with ThreadPoolExecutor(1) as executor:
        yield Workers(executor, lambda: 1)
"""
