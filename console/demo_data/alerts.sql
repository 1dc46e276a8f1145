-- When each budget reached each of its thresholds, by the day; what is older than a week was seen.
INSERT INTO billing_budgetalert (
    budget_id, organization_id, period_start, threshold, spent, created_at, told_at, seen_at
)
SELECT DISTINCT ON (id, period_start, threshold)
    id, organization_id, period_start, threshold, spent, moment, moment,
    CASE WHEN moment < %(until)s - interval '7 days' THEN moment + interval '1 hour' END
FROM (
    SELECT
        budget.id, budget.organization_id, budget.amount, period_start,
        unnest(budget.thresholds) AS threshold,
        sum(used.amount) OVER (PARTITION BY budget.id, period_start ORDER BY used.day) AS spent,
        least(%(until)s, used.day + interval '15 hours') AS moment
    FROM billing_budget budget
    JOIN billing_usageday used ON used.organization_id = budget.organization_id
        AND (budget.project_id IS NULL OR budget.project_id = used.project_id)
        AND (budget.api_key_id IS NULL OR budget.api_key_id = used.api_key_id)
    CROSS JOIN LATERAL (SELECT date_trunc(budget.period, used.day)::date AS period_start)
    WHERE budget.id = ANY(%(budgets)s)
) reached
WHERE spent >= amount * threshold / 100
ORDER BY id, period_start, threshold, moment
