"""ELF images: symbols, entries, sites, TOC."""
