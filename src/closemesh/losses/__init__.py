"""Every loss term once: pure, unreduced, unweighted."""
