"""Tables that users bring: one reader for every kind of table, in every file format that is accepted."""
