"""A ledger for people: sentences in two languages, and pictures."""
