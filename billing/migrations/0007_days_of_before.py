"""The days of usage that was booked before days were kept."""

from __future__ import annotations

from django.db import migrations

DAYS = """
INSERT INTO billing_usageday (
    organization_id, project_id, api_key_id, model, day, requests, failed_requests,
    input_tokens, cached_tokens, output_tokens, audio_seconds, amount, currency
)
SELECT
    organization_id, project_id, api_key_id, model, (hour AT TIME ZONE 'UTC')::date,
    sum(requests), sum(failed_requests), sum(input_tokens), sum(cached_tokens),
    sum(output_tokens), sum(audio_seconds), sum(amount), currency
FROM billing_usagehour
GROUP BY 1, 2, 3, 4, 5, currency
ON CONFLICT (organization_id, day, api_key_id, model) DO UPDATE SET
    requests = EXCLUDED.requests,
    failed_requests = EXCLUDED.failed_requests,
    input_tokens = EXCLUDED.input_tokens,
    cached_tokens = EXCLUDED.cached_tokens,
    output_tokens = EXCLUDED.output_tokens,
    audio_seconds = EXCLUDED.audio_seconds,
    amount = EXCLUDED.amount
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_plans_and_telling")]

    operations = [migrations.RunSQL(DAYS, migrations.RunSQL.noop)]
