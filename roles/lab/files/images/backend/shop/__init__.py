"""The shop of the lab: small, but with a real pool, a real cache and a real dependency."""
