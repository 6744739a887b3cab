"""Trains, is killed again and again, and goes on: one process for each life.

They are forks of this one, which has imported everything already.
"""

import os
import random
import signal
import sys
import time
import traceback

from recipe_runs import train

KILLS = 10
STEPS = 8


def life(corpus, run):
    """Start a training in a process of its own; gives its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(
            corpus,
            run,
            num_workers=1,
            number_of_epochs=1000,
            number_of_steps=STEPS,
            ckpt_interval_minutes=0,
            ckpt_interval_steps=1,
        )
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child):
    """How a process ended: 0, an error, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(corpus, run, delay, number):
    """A life that ends by a signal."""
    child = life(corpus, run)
    time.sleep(delay)
    os.kill(child, number)
    return ended(child)


if __name__ == "__main__":
    corpus, straight, killed = sys.argv[1:]
    start = time.monotonic()
    codes = [ended(life(corpus, straight))]
    lasts = time.monotonic() - start
    draw = random.Random(0)
    while len(codes) - codes.count(0) < KILLS:  # Some end by themselves.
        delay = draw.uniform(0.1, 0.6) * lasts
        number = draw.choice([signal.SIGTERM, signal.SIGKILL])
        codes.append(die(corpus, killed, delay, number))
    codes.append(ended(life(corpus, killed)))
    print(*codes)
