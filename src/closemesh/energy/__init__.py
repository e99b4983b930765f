"""Every loss term once: pure, unreduced, unweighted; used by fitting, guidance and optimisation."""
