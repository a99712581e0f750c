"""Many targets at once: a patch goes to a few of them first, then wave by wave to the rest, and comes back."""

from oddtoc.fleet.rollout import Pace, Rollout, Row, State, wave_size
from oddtoc.fleet.survey import rehearse, revert_everywhere, survey
from oddtoc.fleet.targets import FleetTarget, chosen, read_targets
from oddtoc.fleet.visit import Answer, Manner, Shipment

__all__ = [
    "Answer",
    "FleetTarget",
    "Manner",
    "Pace",
    "Rollout",
    "Row",
    "Shipment",
    "State",
    "chosen",
    "read_targets",
    "rehearse",
    "revert_everywhere",
    "survey",
    "wave_size",
]
