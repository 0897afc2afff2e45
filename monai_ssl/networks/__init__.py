"""Encoders, decoders and heads."""

from monai_ssl.networks.blocks import DoubleConv, Norm
from monai_ssl.networks.cell_embedding import CellEmbedding
from monai_ssl.networks.classifier import EncoderClassifier
from monai_ssl.networks.conditioned_attention import GateAttention, OuterProductAttention
from monai_ssl.networks.conv_encoder import ConvEncoder
from monai_ssl.networks.decoder import UNetDecoder, UpBlock
from monai_ssl.networks.discriminator import Discriminator
from monai_ssl.networks.encoder import Encoder, average
from monai_ssl.networks.heads import (
    ComparisonHead,
    Prototypes,
    RestorationHead,
    init_heads,
    mlp,
    projector,
    restoration_head,
)
from monai_ssl.networks.layer_decay import with_layer_decay
from monai_ssl.networks.linear_segmenter import LinearSegmenter
from monai_ssl.networks.mask_fill import MaskFill
from monai_ssl.networks.momentum import MomentumNetwork, shuffle_batch, unshuffle_batch
from monai_ssl.networks.monai_nets.encoder import MonaiEncoder, as_encoder
from monai_ssl.networks.norms import batch_to_group_norm
from monai_ssl.networks.projected_encoder import ProjectedEncoder
from monai_ssl.networks.pyramid_unet import PyramidUNet
from monai_ssl.networks.recipe import build, network_class, recipe_of, remember
from monai_ssl.networks.residual_encoder import ResidualEncoder, ResidualEncoderUNet
from monai_ssl.networks.resnet_encoder import ResNetEncoder
from monai_ssl.networks.roi_pool import roi_pool
from monai_ssl.networks.sparse import Sparse, sparse_features
from monai_ssl.networks.unet import RestorationUNet, SkipUNet
from monai_ssl.networks.vit.decoder import PatchDecoder, Primus
from monai_ssl.networks.vit.encoder import VisionTransformer
from monai_ssl.networks.vit.headed import Answers, CosineHead, HeadedTransformer
from monai_ssl.networks.vit.mask_token import mask_token, mask_tokens, masked_cells
from monai_ssl.networks.vit.restorer import TokenRestorer, join_patches, split_patches
from monai_ssl.networks.vit.transformer import Transformer, resize_positions
from monai_ssl.networks.wrappers.crop_vectors import crop_vectors
from monai_ssl.networks.wrappers.headed_encoder import HeadedEncoder
from monai_ssl.networks.wrappers.shuffled_patches import ShuffledPatches
from monai_ssl.networks.wrappers.split_encoder import SplitEncoder

__all__ = [
    "Answers",
    "CellEmbedding",
    "ComparisonHead",
    "ConvEncoder",
    "CosineHead",
    "Discriminator",
    "DoubleConv",
    "Encoder",
    "EncoderClassifier",
    "GateAttention",
    "HeadedEncoder",
    "HeadedTransformer",
    "MaskFill",
    "LinearSegmenter",
    "MomentumNetwork",
    "MonaiEncoder",
    "Norm",
    "OuterProductAttention",
    "ProjectedEncoder",
    "Prototypes",
    "PatchDecoder",
    "Primus",
    "PyramidUNet",
    "ResNetEncoder",
    "ResidualEncoder",
    "ResidualEncoderUNet",
    "RestorationHead",
    "RestorationUNet",
    "ShuffledPatches",
    "SkipUNet",
    "SplitEncoder",
    "Sparse",
    "TokenRestorer",
    "Transformer",
    "UNetDecoder",
    "UpBlock",
    "VisionTransformer",
    "as_encoder",
    "average",
    "batch_to_group_norm",
    "build",
    "crop_vectors",
    "init_heads",
    "join_patches",
    "mask_token",
    "mask_tokens",
    "masked_cells",
    "mlp",
    "network_class",
    "projector",
    "recipe_of",
    "remember",
    "resize_positions",
    "restoration_head",
    "roi_pool",
    "shuffle_batch",
    "sparse_features",
    "split_patches",
    "unshuffle_batch",
    "with_layer_decay",
]
