"""C++-5 and the objective of Rubik's cube++."""

SMALL = {config: {"network_def#discriminator#width": 4} for config in ("pretrain", "pretrain_2d")}
MOVES = {
    "restoration": ("network.encoder.", "network.decoder.", "network.head."),
    "adversarial": ("network.encoder.", "network.decoder.", "network.head."),
    "discriminator": ("discriminator.",),
}
