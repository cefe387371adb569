"""The OpenAI protocol: bytes to values and back, without a socket."""
