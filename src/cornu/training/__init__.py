"""Training: what compile() was told, one compiled step, one loop with three uses."""
