"""Puzzle tasks: jigsaw, Rubik's cube, rotation, relative location."""
