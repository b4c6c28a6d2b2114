"""Which arm of an experiment a record belongs to, and the set that each arm is mapped by. Pure.

The arm hangs on the record's id alone, so all versions of a record, all of its events and every worker agree.
"""

from hashlib import blake2b
from typing import Final, Literal

from mapping.mapping_set import Experiment, MappingSet

Arm = Literal["A", "B"]

ARMS: Final[tuple[Arm, Arm]] = ("A", "B")
_ALL: Final = 2.0**64


def arm_of(experiment: Experiment, source_id: str) -> Arm:
    """B for `percent` of all ids, evenly; the same answer for the same salt and id, for ever."""
    digest = blake2b(
        source_id.encode(errors="surrogatepass"), digest_size=8, key=experiment.salt.encode()[:64]
    ).digest()
    return "B" if int.from_bytes(digest, "big") / _ALL < experiment.percent / 100 else "A"


def set_of_arm(mapping_set: MappingSet, arm: Arm) -> MappingSet:
    """The set without its experiment, as `arm` maps by it. Both arms bear the set's revision."""
    experiment = mapping_set.experiment
    if experiment is None:
        return mapping_set
    mappings = mapping_set.mappings
    if arm == "B":
        by_target = {m.target: m for m in mappings} | {m.target: m for m in experiment.mappings}
        mappings = tuple(by_target.values())
    return mapping_set.model_copy(update={"mappings": mappings, "experiment": None})
