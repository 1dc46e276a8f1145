"""Months of usage are made and dropped by functions that have their owner's rights.

The worker, who decides when, owns nothing.
"""

from __future__ import annotations

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION usage_month_table(start date) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF start IS NULL OR start <> date_trunc('month', start) OR start >= '9999-12-01' THEN
        RAISE EXCEPTION 'no month of usage begins on %', start
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN 'billing_usageevent_' || to_char(start, 'YYYY_MM');
END $$;

CREATE FUNCTION usage_month_make(start date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month constant text := usage_month_table(start);
BEGIN
    PERFORM pg_advisory_xact_lock(7001);  -- two that make the same do so one after the other
    IF to_regclass(format('public.%I', month)) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.billing_usageevent
        INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', month);
    EXECUTE format('ALTER TABLE public.%I
        ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', month);
    EXECUTE format('CREATE POLICY all_rows ON public.%I TO sluice_owner USING (true)', month);
    -- Attached, not made as a partition of it: that would wait for all who read the table.
    EXECUTE format('ALTER TABLE public.billing_usageevent ATTACH PARTITION public.%I
        FOR VALUES FROM (%L) TO (%L)', month, to_char(start, 'YYYY-MM-DD 00:00+00'),
        to_char(start + interval '1 month', 'YYYY-MM-DD 00:00+00'));
END $$;

CREATE FUNCTION usage_month_drop(start date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month constant text := usage_month_table(start);
BEGIN
    EXECUTE format('DELETE FROM public.billing_usageeventid AS ids USING public.%I AS gone
        WHERE ids.organization_id = gone.organization_id AND ids.request_id = gone.request_id',
        month);
    EXECUTE format('DROP TABLE public.%I', month);
END $$;

REVOKE ALL ON FUNCTION usage_month_make(date), usage_month_drop(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION usage_month_make(date), usage_month_drop(date) TO sluice_worker;
"""

NO_FUNCTIONS = """
DROP FUNCTION usage_month_drop(date);
DROP FUNCTION usage_month_make(date);
DROP FUNCTION usage_month_table(date);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_payments")]

    operations = [migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS)]
