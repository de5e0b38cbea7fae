"""Work over whole archives: every clip of a folder, table or bucket answered once, on one machine or on a cluster."""
