"""Django's PostgreSQL, and each query asked as `tenants.tenancy` says."""
