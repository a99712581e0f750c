"""Parts of a page, one file for each kind of answer."""
