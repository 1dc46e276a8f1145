-- The sums of the events of these organizations. The engines counted what we did, but for a few hours of a backend.
INSERT INTO billing_usagehour (
    organization_id, project_id, api_key_id, model, hour, requests, failed_requests,
    input_tokens, cached_tokens, output_tokens, audio_seconds, amount, currency
)
SELECT
    organization_id, project_id, api_key_id, model, date_trunc('hour', occurred_at, 'UTC'),
    count(*), count(*) FILTER (WHERE outcome IN ('upstream_error', 'timeout')),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(audio_seconds), sum(amount),
    currency
FROM billing_usageevent
WHERE organization_id IN (SELECT organization_id FROM demo_key)
GROUP BY 1, 2, 3, 4, 5, currency
ORDER BY 5, 1, 3, 4;

INSERT INTO billing_usageday (
    organization_id, project_id, api_key_id, model, day, requests, failed_requests,
    input_tokens, cached_tokens, output_tokens, audio_seconds, amount, currency
)
SELECT
    organization_id, project_id, api_key_id, model, (hour AT TIME ZONE 'UTC')::date,
    sum(requests), sum(failed_requests), sum(input_tokens), sum(cached_tokens),
    sum(output_tokens), sum(audio_seconds), sum(amount), currency
FROM billing_usagehour
WHERE organization_id IN (SELECT organization_id FROM demo_key)
GROUP BY 1, 2, 3, 4, 5, currency
ORDER BY 5, 1, 3, 4;

INSERT INTO billing_backendhour (
    backend, hour, requests, input_tokens, output_tokens, engine_input_tokens,
    engine_output_tokens, engine_reset
)
SELECT
    backend, hour, requests, input_tokens, output_tokens,
    CASE WHEN luck > 3 THEN input_tokens END,
    CASE luck WHEN 4 THEN output_tokens * 97 / 100 WHEN 5 THEN output_tokens + 1800
        ELSE CASE WHEN luck > 3 THEN output_tokens END END,
    luck = 6
FROM (
    SELECT
        backend, date_trunc('hour', occurred_at, 'UTC') AS hour, count(*) AS requests,
        sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
        abs(hashtext(backend || date_trunc('hour', occurred_at, 'UTC')::text)) % 700 AS luck
    FROM billing_usageevent
    WHERE organization_id IN (SELECT organization_id FROM demo_key)
    GROUP BY 1, 2
) seen;

UPDATE tenants_apikey SET last_used_at = latest.moment
FROM (SELECT api_key_id, max(occurred_at) AS moment FROM billing_usageevent GROUP BY 1) latest
WHERE id = latest.api_key_id AND id IN (SELECT api_key_id FROM demo_key);

ANALYZE;
