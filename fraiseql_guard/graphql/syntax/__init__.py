"""The syntax of documents: the scan before the parser, the parser, the tree, and counts that need no schema."""
