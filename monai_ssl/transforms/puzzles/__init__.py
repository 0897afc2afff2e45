"""Jigsaw, Rubik's cube, rotation, relative location: questions whose answer is known."""
