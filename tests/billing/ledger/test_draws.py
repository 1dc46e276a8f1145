from __future__ import annotations

from decimal import Decimal
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from billing.ledger.usage import Purse, draws
from billing.models import Component

SMALLEST = Decimal("0.000000000001")
amounts = st.decimals(min_value=SMALLEST, max_value=9, places=12)
END = Purse(uuid4(), None)


@given(
    st.lists(amounts, max_size=4),
    st.dictionaries(st.sampled_from(list(Component)), amounts, min_size=1),
)
def test_purses_are_emptied_in_their_order_and_every_component_is_paid(
    lefts: list[Decimal], costs: dict[Component, Decimal]
) -> None:
    purses = [Purse(uuid4(), left) for left in lefts]
    found = list(draws([*purses, END], costs))
    paid = dict.fromkeys(costs, Decimal(0))
    drawn = dict[UUID, Decimal]()
    for draw in found:
        assert draw.amount > 0
        paid[draw.component] += draw.amount
        drawn[draw.account] = drawn.get(draw.account, Decimal(0)) + draw.amount
    assert paid == costs
    owed = sum(costs.values(), Decimal(0))
    for purse, left in zip(purses, lefts, strict=True):
        assert drawn.get(purse.account, 0) == min(left, owed)
        owed -= min(left, owed)
    assert drawn.get(END.account, 0) == owed
    assert len({(draw.account, draw.component) for draw in found}) == len(found)
