"""Offline preparation, a page each: made once, kept with what it was made from."""
