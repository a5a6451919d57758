"""`make simulate SEEDS=n`: n courses of random events, one after the other; says which of them broke something."""

from __future__ import annotations

import argparse
import logging
import time
import traceback

from tests.support.sim.chaos import Chaos
from tests.support.sim.cluster import simulate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many to try")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--steps", type=int, default=25, help="faults in each")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed: list[int] = []
    began = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        chaos = Chaos(seed)
        try:
            simulate(chaos.run(arguments.steps), seed)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                break
            failed.append(seed)
            print(f"\nseed {seed}:", *chaos.events, sep="\n  ", flush=True)
            traceback.print_exception(error, limit=-3)
    print(f"{arguments.seeds} seeds in {time.monotonic() - began:.0f} s; broken: {failed or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
