"""The model: a script that answers by what was said so far, so that the example needs neither network nor key.

A real one is asked over HTTP here, with a key of `self.context.get_secret`. Its answers differ from call to call; that
is why each of them is a checkpoint, and a run that goes on after a crash doesn't ask again.
"""

import os
from pathlib import Path


class Scripted:
    """Looks up the order, then pays it back if it is late."""

    def complete(self, said: list[str]) -> str:
        """The next line of the conversation: `tool: argument`, or the answer to the customer."""
        self._count()
        last = said[-1]
        if last.startswith("customer:"):
            order = next((word for word in last.split() if word.isdigit()), "")
            return f"look_up_order: {order}" if order else "answer: Which order is it about?"
        if last.startswith("look_up_order:") and "late" in last:
            return f"refund: {last.split()[2]}"
        if last.startswith("look_up_order:"):
            return "answer: Your order is on its way."
        return f"answer: {last.partition(': ')[2]} It will take two days."

    def _count(self) -> None:
        """Leave a line for each call of the model where somebody counts them."""
        path = os.environ.get("MODEL_CALLS")
        if path:
            with Path(path).open("a") as calls:
                calls.write("call\n")
