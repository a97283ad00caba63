"""The store on Redis: one script an admission, the codec of its keys and answers, and what repairs foreign entries."""
