"""Plans of configurations whose data nobody has loaded: what a plan must know of a pool is given by the test."""

from __future__ import annotations

from collections.abc import Callable

from raybert.config import RaybertConfig
from raybert.sweeping.plan.arms import tuning_variants
from raybert.sweeping.plan.comparison import Plan, plan_sweep
from raybert.sweeping.plan.design import Design, read_design
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.specs import PoolFacts

FACTS = PoolFacts("data", "encoder", num_examples=1000, num_classes=3)
Facts = PoolFacts | Callable[[Variant], PoolFacts]


def pools_of(design: Design, facts: Facts = FACTS) -> dict[str, PoolFacts]:
    """The facts of every pool of a design, those of the search's among them."""
    of = facts if callable(facts) else lambda variant: facts
    pools = {variant.data_key: of(variant) for variant in design.variants}
    return pools | {variant.data_key: of(variant) for variant in tuning_variants(design, pools)}


def plan_of(config: RaybertConfig, facts: Facts = FACTS) -> Plan:
    """What a configuration asks for."""
    design = read_design(config)
    return plan_sweep(design, pools_of(design, facts))
