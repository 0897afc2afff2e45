"""Augmentations and proxy tasks: crops, intensity, spatial, masks, puzzles, for one sample or a batch."""

from monai_ssl.transforms.base import RandBatchTransform
from monai_ssl.transforms.crops.base_crops import RandBaseCropsd
from monai_ssl.transforms.crops.contrast_pair import RandContrastPaird
from monai_ssl.transforms.crops.diagonal_pair import RandDiagonalPaird
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.crops.multi_crop import RandMultiCropd
from monai_ssl.transforms.crops.pair_crop import RandIoUPairCropd
from monai_ssl.transforms.crops.patch_grid import RandPatchGridd
from monai_ssl.transforms.crops.places import Placesd
from monai_ssl.transforms.crops.scan_crops import RandScanCropsd
from monai_ssl.transforms.crops.window_crop import RandWindowCropd
from monai_ssl.transforms.crops.word_crop import RandWordCropd
from monai_ssl.transforms.intensity.bezier import RandBezierd
from monai_ssl.transforms.intensity.blur import RandGaussianBlurd
from monai_ssl.transforms.intensity.brightness import RandBrightnessd
from monai_ssl.transforms.intensity.color import RandColorJitterd, RandGrayscaled
from monai_ssl.transforms.intensity.gamma import RandSignedGammad
from monai_ssl.transforms.intensity.noise import RandGaussianNoiseBatchd
from monai_ssl.transforms.intensity.normalize import ImageNetNormalized, ZScored
from monai_ssl.transforms.masks.cube_mask import RandCubeMaskd
from monai_ssl.transforms.masks.cutout import RandCutoutd
from monai_ssl.transforms.masks.distortions import RandDistortiond
from monai_ssl.transforms.masks.knowledge_masks import RandBlockMaskd, RandStripeMaskd, mask_of
from monai_ssl.transforms.masks.masked_tokens import RandMaskedTokensd
from monai_ssl.transforms.masks.mixed_cutout import RandMixedCutoutd
from monai_ssl.transforms.masks.painting import RandPaintingd
from monai_ssl.transforms.masks.rays_mask import RandRaysMaskd
from monai_ssl.transforms.masks.visible_blocks import RandVisibleBlocksd
from monai_ssl.transforms.masks.volume_fusion import RandVolumeFusiond
from monai_ssl.transforms.one_of import RandOneOfd
from monai_ssl.transforms.puzzles.cells import RandCellsd
from monai_ssl.transforms.puzzles.cube_turns import (
    RandCubeTurnsd,
    turn_cells,
    turn_cells_back,
    turn_layers,
    turn_layers_back,
)
from monai_ssl.transforms.puzzles.jigsaw import RandJigsawd, permute_cells, restore_cells
from monai_ssl.transforms.puzzles.permutations import permutation_table
from monai_ssl.transforms.puzzles.relative_location import RandRelativeLocationd, directions
from monai_ssl.transforms.puzzles.rotation import RandRotationTaskd, num_rotations, rotate, rotate_back, valid_rotations
from monai_ssl.transforms.puzzles.rubik import HALF_TURNS, RandRubikd, half_turn
from monai_ssl.transforms.puzzles.task import RandTask
from monai_ssl.transforms.separately import Separatelyd
from monai_ssl.transforms.spatial.affine import RandAffineBatchd
from monai_ssl.transforms.spatial.elastic import RandElasticBatchd
from monai_ssl.transforms.spatial.flip_chain import RandFlipChaind
from monai_ssl.transforms.spatial.flips import RandFlipBatchd
from monai_ssl.transforms.spatial.patch_swap import RandPatchSwapd
from monai_ssl.transforms.spatial.plane_rotation import RandPlaneRotationd
from monai_ssl.transforms.spatial.shuffling import RandLocalShufflingd
from monai_ssl.transforms.views import BatchViews, Snapshotd

__all__ = [
    "BatchViews",
    "CellGrid",
    "HALF_TURNS",
    "ImageNetNormalized",
    "Placesd",
    "RandAffineBatchd",
    "RandBaseCropsd",
    "RandBatchTransform",
    "RandBezierd",
    "RandBlockMaskd",
    "RandBrightnessd",
    "RandCellsd",
    "RandColorJitterd",
    "RandContrastPaird",
    "RandCubeMaskd",
    "RandCubeTurnsd",
    "RandCutoutd",
    "RandDiagonalPaird",
    "RandDistortiond",
    "RandElasticBatchd",
    "RandFlipBatchd",
    "RandFlipChaind",
    "RandGaussianBlurd",
    "RandGaussianNoiseBatchd",
    "RandGrayscaled",
    "RandIoUPairCropd",
    "RandJigsawd",
    "RandLocalShufflingd",
    "RandMaskedTokensd",
    "RandMixedCutoutd",
    "RandMultiCropd",
    "RandOneOfd",
    "RandPaintingd",
    "RandPatchGridd",
    "RandPatchSwapd",
    "RandPlaneRotationd",
    "RandRaysMaskd",
    "RandRelativeLocationd",
    "RandRotationTaskd",
    "RandRubikd",
    "RandScanCropsd",
    "RandSignedGammad",
    "RandStripeMaskd",
    "RandTask",
    "RandVisibleBlocksd",
    "RandVolumeFusiond",
    "RandWindowCropd",
    "RandWordCropd",
    "Separatelyd",
    "Snapshotd",
    "ZScored",
    "directions",
    "half_turn",
    "mask_of",
    "num_rotations",
    "permutation_table",
    "permute_cells",
    "restore_cells",
    "rotate",
    "rotate_back",
    "turn_cells",
    "turn_cells_back",
    "turn_layers",
    "turn_layers_back",
    "valid_rotations",
]
