"""What evidence amounts to: the plan, freshness, policy and the verdict."""
