"""What a red team tried, a line for each attempt: who asks what for, and the answer that is right.

`attacks_on_the_fence` and `attacks_by_rights` hold the lines. Whatever was refused has left no trace: afterwards each
object is as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from tests.cluster import attack_scene
from tests.cluster.admission_world import connect
from tests.cluster.attack_lines import Attack
from tests.cluster.attack_scene import Scene
from tests.cluster.attacks_by_rights import RIGHTS
from tests.cluster.attacks_on_the_fence import FENCE

pytestmark = pytest.mark.cluster

ATTACKS = [*FENCE, *RIGHTS]


def numbered() -> list[str]:
    """Names of the lines, told apart where two ask for the same with other bodies."""
    seen: Counter[str] = Counter()
    names = []
    for attack in ATTACKS:
        seen[attack.name] += 1
        names.append(f"{attack.name} {seen[attack.name]}" if seen[attack.name] > 1 else attack.name)
    return names


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = attack_scene.build(*connect(request))
    before, owned = made.standing(), made.metadata_of_free()
    yield made
    after, owned_after = made.standing(), made.metadata_of_free()
    for world in (made.world, made.elsewhere):
        made.world.admin.delete(f"/api/v1/namespaces/{world.namespace}")
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    assert not changed, f"attacks that were refused have changed {changed}"
    assert owned_after == owned, "a write of a status has changed spec or metadata"


def test_there_are_hundreds_of_them() -> None:
    assert sum(attack.code >= 300 for attack in ATTACKS) >= 200


@pytest.mark.parametrize("attack", ATTACKS, ids=numbered())
def test_attack(scene: Scene, attack: Attack) -> None:
    answer = scene.ask(attack.who, attack.method, attack.target, attack.body, attack.content, attack.headers)
    told = f"{attack.name} {attack.body}: {answer.code} {answer.message or 'was allowed'}"
    assert answer.code in attack.codes, told
    assert attack.words in answer.message, told
