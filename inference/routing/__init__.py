"""Which backend takes a request: pure functions, for the gateway and for the pages that explain."""
