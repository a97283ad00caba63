"""The store on Redis: the script of an admission and its codec, the sub-stores, and the repair of foreign entries."""
