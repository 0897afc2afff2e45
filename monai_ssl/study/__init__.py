"""Comparisons of methods on tasks, what they show, and advice that follows from them."""
