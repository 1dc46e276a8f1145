"""The sums that grow with a batch, from the rows that are left in the table `stage`."""

from __future__ import annotations

from typing import Final

from django.db.backends.utils import CursorWrapper

from billing.models import FAILED, SUMMED

_SUMMED: Final = ", ".join(SUMMED)
_FAILED: Final = ", ".join(f"'{outcome}'" for outcome in sorted(FAILED))
_GROW: Final = ", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in SUMMED)

# In the order of their keys: two that write the same rows wait for each other, and never both.
_KEYS: Final = f"""
WITH hours AS (
    SELECT organization_id, project_id, api_key_id, model,
        date_trunc('hour', occurred_at, 'UTC') AS hour, currency,
        count(*) AS requests,
        count(*) FILTER (WHERE outcome IN ({_FAILED})) AS failed_requests,
        sum(input_tokens) AS input_tokens, sum(cached_tokens) AS cached_tokens,
        sum(output_tokens) AS output_tokens, sum(audio_seconds) AS audio_seconds,
        sum(amount) AS amount
    FROM stage GROUP BY 1, 2, 3, 4, 5, 6
), days AS (
    INSERT INTO billing_usageday AS kept
        (organization_id, project_id, api_key_id, model, day, currency, {_SUMMED})
    SELECT organization_id, project_id, api_key_id, model, (hour AT TIME ZONE 'UTC')::date,
        currency, {", ".join(f"sum({name})" for name in SUMMED)}
    FROM hours GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 5, 3, 4
    ON CONFLICT (organization_id, day, api_key_id, model) DO UPDATE SET {_GROW}
)
INSERT INTO billing_usagehour AS kept
    (organization_id, project_id, api_key_id, model, hour, currency, {_SUMMED})
SELECT organization_id, project_id, api_key_id, model, hour, currency, {_SUMMED}
FROM hours ORDER BY 1, 5, 3, 4
ON CONFLICT (organization_id, hour, api_key_id, model) DO UPDATE SET {_GROW}
"""  # noqa: S608 - the names are those of SUMMED

_BACKENDS: Final = """
INSERT INTO billing_backendhour AS kept
    (backend, hour, requests, input_tokens, output_tokens, engine_reset)
SELECT backend, date_trunc('hour', occurred_at, 'UTC'), count(*), sum(input_tokens),
    sum(output_tokens), false
FROM stage WHERE backend <> '' GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (backend, hour) DO UPDATE SET
    requests = kept.requests + EXCLUDED.requests,
    input_tokens = kept.input_tokens + EXCLUDED.input_tokens,
    output_tokens = kept.output_tokens + EXCLUDED.output_tokens
"""

_SPENT: Final = """
WITH fresh AS (
    SELECT organization_id, project_id, api_key_id, (occurred_at AT TIME ZONE 'UTC')::date AS day,
        sum(amount) AS amount
    FROM stage WHERE amount > 0 GROUP BY 1, 2, 3, 4
)
INSERT INTO billing_budgetspent AS kept (budget_id, period_start, spent)
SELECT budget.id, date_trunc(budget.period, fresh.day::timestamp)::date, sum(fresh.amount)
FROM billing_budget budget JOIN fresh ON fresh.organization_id = budget.organization_id
    AND (budget.project_id IS NULL OR budget.project_id = fresh.project_id)
    AND (budget.api_key_id IS NULL OR budget.api_key_id = fresh.api_key_id)
GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (budget_id, period_start) DO UPDATE SET spent = kept.spent + EXCLUDED.spent
RETURNING budget_id, period_start, xmax = 0
"""
_TOUCHED: Final = "unnest(%s::uuid[], %s::date[]) AS touched(budget_id, period_start)"
# A budget may be younger than its period: its first row is of all the days.
_WHOLE: Final = f"""
UPDATE billing_budgetspent kept SET spent = (
    SELECT sum(day.amount) FROM billing_usageday day
    WHERE day.organization_id = budget.organization_id
        AND (budget.project_id IS NULL OR budget.project_id = day.project_id)
        AND (budget.api_key_id IS NULL OR budget.api_key_id = day.api_key_id)
        AND day.day >= kept.period_start
        AND day.day < kept.period_start + ('1 ' || budget.period)::interval
)
FROM billing_budget budget, {_TOUCHED}
WHERE budget.id = touched.budget_id
    AND kept.budget_id = touched.budget_id AND kept.period_start = touched.period_start
"""  # noqa: S608 - the name is of this module
_ALERTS: Final = f"""
INSERT INTO billing_budgetalert
    (budget_id, organization_id, period_start, threshold, spent, created_at)
SELECT budget.id, budget.organization_id, kept.period_start, threshold, kept.spent, now()
FROM {_TOUCHED}
    JOIN billing_budget budget ON budget.id = touched.budget_id
    JOIN billing_budgetspent kept
        ON kept.budget_id = touched.budget_id AND kept.period_start = touched.period_start
    CROSS JOIN unnest(budget.thresholds) AS threshold
WHERE kept.spent * 100 >= budget.amount * threshold
ON CONFLICT (budget_id, period_start, threshold) DO NOTHING
"""  # noqa: S608 - the name is of this module


def keys_grow(cursor: CursorWrapper) -> None:
    """The hours and days of each key."""
    cursor.execute(_KEYS)


def backends_grow(cursor: CursorWrapper) -> None:
    """The hours of each backend. All organizations share these rows: grow them last."""
    cursor.execute(_BACKENDS)


def budgets_grow(cursor: CursorWrapper) -> None:
    """What is spent of each budget, and an alert for each threshold that it has reached.

    Call it after `keys_grow`.
    """
    cursor.execute(_SPENT)
    touched = cursor.fetchall()
    if new := [(budget, start) for budget, start, is_new in touched if is_new]:
        cursor.execute(_WHOLE, list(map(list, zip(*new, strict=True))))
    if touched:
        cursor.execute(_ALERTS, [[one[0] for one in touched], [one[1] for one in touched]])
