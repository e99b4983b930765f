"""The few layers that the learned parts are built of, and how their weights are kept."""
