"""The hash chain that makes the log tamper-evident. Pure: the store keeps the entries, this room links and checks."""
