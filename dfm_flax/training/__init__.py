"""Training: state, pmap'd steps, checkpoints and the loop."""
