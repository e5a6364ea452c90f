"""The read-outs of the ledger: five questions about a user, one file each."""
