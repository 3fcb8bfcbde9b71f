"""One file per input format, each an iterator of pings."""
