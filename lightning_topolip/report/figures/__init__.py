"""The figures of a report; each is a small panel that is read by itself."""
