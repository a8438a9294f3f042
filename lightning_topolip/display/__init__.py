"""What people look at: figures, loggers, tables in the terminal."""
