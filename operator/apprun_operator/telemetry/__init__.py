"""What the operator says about itself: metrics for Prometheus, and log lines."""
