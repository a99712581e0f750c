"""Apply, revert, status: the transaction on a stopped target and the record kept in it."""
