"""The tools that every room uses, and that use no other room: timers, tasks, files and memories."""
