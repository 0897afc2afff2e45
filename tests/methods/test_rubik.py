"""RKB-5, the heads of the Rubik's cube, and what its panels show."""

SMALL = {
    "pretrain": {"roi_size": [24, 24, 24], "cube_size": [8, 8, 8], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {
    "order": ("jigsaw.network.", "jigsaw.classifier."),
    "turns": ("jigsaw.network.", "turn_heads."),
}
