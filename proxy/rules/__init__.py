"""Pure engines: plain values in, plain values out."""
