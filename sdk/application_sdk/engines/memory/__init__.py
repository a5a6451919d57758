"""The engine of the test kit: everything in this process, in virtual time, with faults on demand."""

from application_sdk.engines.memory.engine import MemoryEngine, SimulatedCrash
from application_sdk.engines.memory.world import Execution, World

__all__ = ["Execution", "MemoryEngine", "SimulatedCrash", "World"]
