"""What is particular to each data set: folder, skeleton, clip lengths."""

from dataclasses import dataclass, replace
from pathlib import Path

from lamp.utils.errors import UserError, brief
from lamp.utils.files import read_json
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, MAX_FRAMES, SKELETONS, Skeleton
from lamp.utils.reading import read_npy

DATASETS = Path("dataset")
"""Folder of the data sets' folders."""
MOTIONS = "new_joint_vecs"
"""Folder of the motion features in a data folder."""
SHARDS_FILE = "shards.json"
"""What tells a folder of shards (`lamp.data.corpus.shards`) from one of files."""


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
        obtain: what to do where the folder is missing.
    """

    name: str
    root: Path
    skeleton: Skeleton
    min_frames: int
    frame_limit: int = 200
    max_frames: int = MAX_FRAMES
    unit_length: int = 4
    texts: str = "texts"
    test_splits: tuple[str, ...] = ("test",)
    obtain: str = ""

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
        return self.root / MOTIONS

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
        DatasetSpec(
            "t2m", DATASETS / "HumanML3D", HUMANML3D, min_frames=40,
            obtain="copy HumanML3D there (docs/humanml3d.md says how to get it)",
        ),
        DatasetSpec(
            "kit", DATASETS / "KIT-ML", KIT, min_frames=24,
            obtain="copy KIT-ML there",
        ),
        DatasetSpec(
            "mini", DATASETS / "mini", HUMANML3D, min_frames=24, test_splits=("test_seen", "test_unseen"),
            obtain="make it with `python -m lamp.prepare.build_dataset --preset mini`",
        ),
    )
}  # fmt: skip


def is_sharded(spec: DatasetSpec) -> bool:
    """Whether a data folder is one of shards."""
    return (spec.root / SHARDS_FILE).is_file()


def get_spec(name: str, data_root: str | Path | None = None) -> DatasetSpec:
    """Specification of a data set whose folder exists.

    Args:
        name: one of `SPECS`, or any other name for a folder of the same layout, whose skeleton is known by the width of
            its features; its checkpoints lie below that name.
        data_root: the folder; by default the usual one, `dataset/<name>` for a name of the user's own.

    Raises:
        UserError: the folder is missing, or it has no motions of a known skeleton.
    """
    known = SPECS.get(name)
    root = Path(data_root) if data_root is not None else known.root if known else DATASETS / name
    if known is None and data_root is None and not root.is_dir():
        raise UserError(
            f"--dataset_name {name}: it is none of {', '.join(SPECS)}, and there is no folder {root}; "
            "name the data folder with --data_root"
        )
    motions = root / MOTIONS
    if not motions.is_dir() and not (root / SHARDS_FILE).is_file():
        state = f"has no folder {MOTIONS}" if root.is_dir() else "does not exist"
        remedy = "give" if data_root is not None or known is None else f"{known.obtain}, or give"
        raise UserError(f"data folder {root} {state}; {remedy} the right one with --data_root")
    return replace(known, root=root) if known else _own_spec(name, root)


def _own_spec(name: str, root: Path) -> DatasetSpec:
    """Specification of a folder that is no published data set."""
    if (root / SHARDS_FILE).is_file():
        return _own_shards(name, root)
    first = next(iter(sorted((root / MOTIONS).glob("*.npy"))), None)
    if first is None:
        raise UserError(f"data folder {root} has no motions {MOTIONS}/*.npy; build it again")
    try:
        width = read_npy(first).shape[-1]
        skeleton = SKELETONS[FeatureLayout.of_dim(width).num_joints]
    except (UserError, ValueError, OSError, IndexError, KeyError) as error:
        raise UserError(f"{first} is no motion of 263 (HumanML3D) or 251 (KIT-ML) features: {brief(error)}") from error
    tests = tuple(path.stem for path in sorted(root.glob("test*.txt")))
    splits = ("test",) if "test" in tests or not tests else tests
    return DatasetSpec(name, root, skeleton, min_frames=SPECS["mini"].min_frames, test_splits=splits)


def _own_shards(name: str, root: Path) -> DatasetSpec:
    """The same of a folder of shards."""
    try:
        skeleton = SKELETONS[FeatureLayout.of_dim(read_json(root / SHARDS_FILE)["width"]).num_joints]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{root / SHARDS_FILE} cannot be used ({error}); make the folder by lamp to-shards") from error
    tests = tuple(path.stem for path in sorted((root / "splits").glob("test*.npy")))
    splits = ("test",) if "test" in tests or not tests else tests
    return DatasetSpec(name, root, skeleton, min_frames=SPECS["mini"].min_frames, test_splits=splits)
