"""The leg to the providers: pool, connection, attempts."""
