"""RKBP-3, RKBP-4 and the third head of RKB+."""

SMALL = {
    "pretrain": {"roi_size": [24, 24, 24], "cube_size": [8, 8, 8], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {
    "order": ("rubik.jigsaw.network.", "rubik.jigsaw.classifier."),
    "turns": ("rubik.jigsaw.network.", "rubik.turn_heads."),
    "mask": ("rubik.jigsaw.network.", "mask_head."),
}
