"""The storage port's adapters: one SQLite file, its writer in a thread or in a process of its own."""
