"""The leg to the clients, and the admin listener."""
