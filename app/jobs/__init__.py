"""What time drives: sealing, lease expiry, retention, gauges."""
