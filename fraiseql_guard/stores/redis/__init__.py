"""The store on Redis: one script for an admission, its codec, the sub-stores, and what repairs foreign entries."""
