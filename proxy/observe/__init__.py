"""What people see of the running program: metrics and log lines."""
