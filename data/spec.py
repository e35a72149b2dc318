"""What is particular to each data set: folder, skeleton, clip lengths."""

from dataclasses import dataclass, replace
from pathlib import Path

from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, Skeleton


@dataclass(frozen=True)
class DatasetSpec:
    """A data set in HumanML3D's folder layout.

    Attributes:
        name: as given to `--dataset_name`; also the folder under `checkpoints`.
        root: the data folder.
        skeleton: joints, frame rate and feature constants.
        min_frames: shorter clips are not used for text models.
        frame_limit: clips or parts must be shorter than this.
        max_frames: longest motion that the models see.
        unit_length: frames of one motion token; lengths are multiples of it.
        texts: folder of the caption files below `root`.
        test_splits: what evaluations take by default.
        shorten_lengths: in training a third of the samples is one unit shorter (HumanML3D's recipe, not KIT-ML's).
    """

    name: str
    root: Path
    skeleton: Skeleton
    min_frames: int
    frame_limit: int = 200
    max_frames: int = 196
    unit_length: int = 4
    shorten_lengths: bool = True
    texts: str = "texts"
    test_splits: tuple[str, ...] = ("test",)

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.skeleton.fps

    @property
    def layout(self) -> FeatureLayout:
        """Named slices of a feature vector."""
        return FeatureLayout(self.skeleton.num_joints)

    @property
    def feature_dim(self) -> int:
        """Number of features D of a frame."""
        return self.layout.dim

    @property
    def motion_folder(self) -> Path:
        """Folder of the feature files `ID.npy` (T, D)."""
        return self.root / "new_joint_vecs"

    @property
    def joint_folder(self) -> Path:
        """Folder of the joint files `ID.npy` (T, J, 3)."""
        return self.root / "new_joints"

    @property
    def text_folder(self) -> Path:
        """Folder of the caption files `ID.txt`."""
        return self.root / self.texts


SPECS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec("t2m", Path("dataset/HumanML3D"), HUMANML3D, min_frames=40),
        DatasetSpec("kit", Path("dataset/KIT-ML"), KIT, min_frames=24, shorten_lengths=False),
        DatasetSpec("mini", Path("dataset/mini"), HUMANML3D, min_frames=24, test_splits=("test_seen", "test_unseen")),
    )
}

_REMEDIES = {
    "t2m": "copy HumanML3D there (docs/humanml3d.md says how to get it)",
    "kit": "copy KIT-ML there",
    "mini": "make it with `python -m lamp.prepare.build_dataset --preset mini`",
}


def get_spec(name: str, data_root: str | Path | None = None) -> DatasetSpec:
    """Specification of a data set whose folder exists.

    Args:
        name: one of `SPECS`.
        data_root: folder to use instead of the usual one.

    Raises:
        UserError: unknown name or missing folder.
    """
    if name not in SPECS:
        raise UserError(f"unknown data set '{name}'; --dataset_name takes one of: {', '.join(SPECS)}")
    spec = SPECS[name]
    if data_root is not None:
        spec = replace(spec, root=Path(data_root))
    if not spec.motion_folder.is_dir():
        state = "has no folder new_joint_vecs" if spec.root.is_dir() else "does not exist"
        remedy = "give" if data_root is not None else f"{_REMEDIES[name]}, or give"
        raise UserError(f"data folder {spec.root} {state}; {remedy} the right one with --data_root")
    return spec
