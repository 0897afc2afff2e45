"""Vision transformers: rotary positions, blocks, encoder, the light decoder of Primus."""
