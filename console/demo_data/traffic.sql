-- The requests of one day into `demo_event`: each with what made it up, and what it cost by component.
INSERT INTO demo_event
WITH asked AS MATERIALIZED (
    SELECT
        k.*,
        k.models[1 + floor(random() * 10)::int] AS model_at,
        %(day)s + make_interval(
            hours => (%(hours)s::int[])[1 + floor(random() * %(choices)s)::int],
            secs => random() * 3600
        ) AS admitted_at,
        random() AS fate,
        random() AS cut,
        random() < k.stream_share AS wants_stream,
        random() < k.cache_share AS is_cached,
        random() AS cached_share,
        random() AS place,
        random() AS patience,
        random_normal(0, 0.9) AS length,
        random_normal(0, 0.8) AS talk,
        random_normal(0, 0.35) AS haste
    FROM unnest(%(counts)s::int[]) WITH ORDINALITY AS share (requests, at)
    JOIN demo_key k USING (at)
    CROSS JOIN LATERAL generate_series(1, share.requests)
), ended AS (
    SELECT
        a.*, m.*,
        a.wants_stream AND m.endpoint = 'chat/completions' AS streamed,
        m.places[1 + floor(a.place * cardinality(m.places))::int] AS place_at,
        CASE
            WHEN a.fate < 0.955 THEN 'completed'
            WHEN a.fate < 0.98 THEN 'client_disconnect'
            WHEN a.fate < 0.993 THEN 'upstream_error'
            WHEN a.fate < 0.9985 THEN 'timeout'
            ELSE 'gateway_crash'
        END AS outcome,
        least(m.context_tokens, greatest(1, m.input_median * exp(a.length)))::bigint AS size,
        CASE WHEN a.patience < 0.06 THEN (-400 * ln(a.patience / 0.06))::int ELSE 0 END
            AS queued_ms,
        CASE WHEN a.patience > 0.99 THEN 2 ELSE 1 END AS attempts
    FROM asked a JOIN demo_model m USING (model_at)
), counted AS (
    SELECT
        e.*,
        CASE WHEN e.is_audio OR e.outcome = 'upstream_error' THEN 0 ELSE e.size END AS input_tokens,
        CASE WHEN e.is_audio AND e.outcome <> 'upstream_error' THEN e.size ELSE 0 END
            AS audio_seconds,
        CASE
            WHEN e.outcome = 'upstream_error' OR e.output_median = 0 THEN 0
            WHEN e.outcome = 'completed' THEN 1 + e.output_median * exp(e.talk)
            ELSE e.output_median * exp(e.talk) * e.cut
        END::bigint AS output_tokens,
        e.queued_ms + ((80 + e.size * 0.03) * exp(e.haste))::int AS first_ms,
        CASE WHEN e.outcome IN ('upstream_error', 'timeout') THEN 0 ELSE 1 END AS billed
    FROM ended e
), cached AS (
    SELECT
        c.*,
        CASE WHEN c.is_cached AND c.cached_input_price > 0
            THEN floor(c.input_tokens * c.cached_share)::bigint ELSE 0 END AS cached_tokens,
        c.first_ms + (c.output_tokens * c.ms_per_token * exp(c.haste / 2))::int
            + CASE WHEN c.outcome = 'timeout' THEN 60000 ELSE 0 END AS duration_ms
    FROM counted c
)
SELECT
    organization_id,
    (lpad(to_hex((extract(epoch FROM admitted_at) * 1000)::bigint), 12, '0') || '7'
        || substr(tail, 1, 3) || 'a' || substr(tail, 4, 15))::uuid,
    CASE WHEN cached_share < 0.05 THEN 'nightly-' || substr(tail, 20, 8) ELSE '' END,
    project_id, api_key_id, model, p.backend, p.region, endpoint, streamed, outcome,
    admitted_at,
    admitted_at + duration_ms * interval '1 ms',
    CASE WHEN streamed AND output_tokens > 0 THEN first_ms END,
    duration_ms, queued_ms, attempts, %(batch)s,
    input_tokens, cached_tokens, output_tokens, audio_seconds,
    billed * (input_tokens - cached_tokens) * input_price,
    billed * cached_tokens * cached_input_price,
    billed * output_tokens * output_price,
    billed * audio_seconds * audio_second_price
FROM cached c
JOIN demo_place p USING (place_at)
CROSS JOIN LATERAL (SELECT md5(c.place::text || c.cut || c.fate) AS tail)
