"""What a completion costs."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from parley.domain.conversations import Usage
from parley.domain.routes import ModelRoute, Price, most

JULY = Price(
    since=date(2026, 7, 1),
    prompt=Decimal("2.50"),
    cached_prompt=Decimal("0.25"),
    completion=Decimal(10),
)
JANUARY = Price(since=date(2026, 1, 1), prompt=Decimal(5), completion=Decimal(20))
ROUTE = ModelRoute("bedrock", "m", prices=(JULY, JANUARY))
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)


def test_prompt_cached_prompt_and_completion_have_prices_of_their_own() -> None:
    usage = Usage(1000, 100, cached_tokens=400)

    assert ROUTE.cost(usage, AUGUST) == Decimal("0.0026")  # 600 at 2.50, 400 at 0.25, 100 at 10


def test_thinking_costs_what_the_rest_of_the_completion_does() -> None:
    assert ROUTE.cost(Usage(0, 100, reasoning_tokens=90), AUGUST) == Decimal("0.001")


def test_what_is_cached_costs_the_same_where_no_price_says_otherwise() -> None:
    assert JANUARY.of(Usage(10, 0, cached_tokens=10)) == JANUARY.of(Usage(10, 0))


def test_one_token_has_an_exact_cost() -> None:
    price = Price(since=date(2026, 1, 1), prompt=Decimal("0.000000001"), completion=Decimal(0))

    assert price.of(Usage(1, 0)) == Decimal("0.000000000000001")


@pytest.mark.parametrize(
    ("at", "cost"),
    [
        (datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC), Decimal(5)),
        (datetime(2026, 7, 1, tzinfo=UTC), Decimal("2.5")),
        (datetime(2026, 7, 1, 1, tzinfo=timezone(timedelta(hours=3))), Decimal(5)),
        (datetime(2025, 12, 31, tzinfo=UTC), None),
    ],
)
def test_a_price_is_in_force_from_its_day_on_in_utc(at: datetime, cost: Decimal | None) -> None:
    assert ROUTE.cost(Usage(1_000_000, 0), at) == cost


def test_a_route_without_a_price_has_no_cost_rather_than_none_to_pay() -> None:
    assert ModelRoute("embedded", "m").cost(Usage(1, 1), AUGUST) is None


def test_the_most_a_completion_can_cost_is_without_any_cache() -> None:
    assert ROUTE.most(1_000_000, 1_000_000, AUGUST) == Decimal("12.5")


def test_the_most_of_several_routes_is_that_of_the_dearest() -> None:
    cheap = ModelRoute("bedrock", "n", prices=(JULY,))
    dear = ModelRoute("bedrock", "d", prices=(JANUARY,))

    assert most((cheap, dear), 1_000_000, 0, AUGUST) == Decimal(5)
    assert most((cheap, ModelRoute("embedded", "m")), 1, 1, AUGUST) is None
