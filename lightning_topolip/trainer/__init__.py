"""Everything that knows Lightning's Trainer."""
