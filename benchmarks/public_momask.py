"""The public code of MoMask, timed in a process of its own; `benchmarks.side_by_side` starts it and says what to run.

    python benchmarks/public_momask.py CHECKOUT THREADS

Nothing of ours is imported here, for the public modules have the names of our folders (`models`, `utils`, ...).
One JSON object a line comes in and one goes out. `{"prepare": key, "work": {...}}` builds what a pair needs,
`{"run": times}` runs it so often and gives `{"seconds": of all of them}`; what fails gives `{"error": one line}`.

The code is of 2023. What today's libraries lack of it is put in their place, none of which takes time:

- `clip`: the text encoder. Its stand-in gives random vectors, as ours are given too: no pair times reading of a text.
- `numpy.float`, `numpy.int`, `numpy.bool`, `numpy.core.umath_tests`, `scipy.ndimage.filters`: names that were moved.
- matplotlib: `Axes3D(figure)` is added to its figure again, assigning to `lines` and `collections` removes what was
  drawn (without these the picture is empty but for its title), `grid(b=...)` and `dist` are taken.
"""

import contextlib
import importlib
import json
import os
import sys
import time
import types
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

Work = dict[str, Any]
Function = Callable[[], object]
TEXT_WIDTH = 512
SIZES = {"latent_dim": 384, "ff_size": 1024, "num_layers": 8, "num_heads": 6, "dropout": 0.2, "clip_dim": TEXT_WIDTH}


def stand_in_for_clip() -> None:
    """A module `clip` whose encoder makes random vectors of published width."""
    import torch

    class Encoder(torch.nn.Module):
        def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.randn(len(tokens), TEXT_WIDTH, generator=torch.Generator().manual_seed(0))

    clip = types.ModuleType("clip")
    clip.__dict__.update(
        load=lambda *args, **kwargs: (Encoder(), None),
        tokenize=lambda texts, **kwargs: torch.zeros(len(texts), 77, dtype=torch.long),
        model=SimpleNamespace(convert_weights=lambda model: None),
    )
    sys.modules["clip"] = clip


def names_that_were_moved() -> None:
    """NumPy's and SciPy's."""
    for name, kind in (("float", float), ("int", int), ("bool", bool)):
        if name not in np.__dict__:
            setattr(np, name, kind)
    for old, new in (
        ("numpy.core.umath_tests", "numpy._core._umath_tests"),
        ("scipy.ndimage.filters", "scipy.ndimage"),
    ):
        with contextlib.suppress(ImportError):
            sys.modules[old] = importlib.import_module(new)


def matplotlib_of_then() -> None:
    """3D axes as they were, and the ffmpeg that ours uses too."""
    import imageio_ffmpeg
    import matplotlib
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d.axes3d import Axes3D

    matplotlib.use("Agg")
    matplotlib.rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()
    build, grid = Axes3D.__init__, Axes3D.grid

    def init(self: Any, figure: Any, *args: Any, **kwargs: Any) -> None:
        build(self, figure, *args, **kwargs)
        if self not in figure.axes:
            figure.add_axes(self)

    def emptied(name: str) -> property:
        def put(self: Any, value: list[Any]) -> None:
            for artist in list(getattr(self, name)):
                artist.remove()

        return property(getattr(Axes, name).fget, put)

    Axes3D.__init__ = init
    Axes3D.grid = lambda self, b=None, **kwargs: grid(self, b, **kwargs)
    Axes3D.lines, Axes3D.collections = emptied("lines"), emptied("collections")
    if "dist" not in dir(Axes3D):
        Axes3D.dist = property(lambda self: 10, lambda self, value: self.set_box_aspect(None, zoom=10 / value))


def tokenizer(work: Work) -> Any:
    """The RVQ-VAE of the published size, with six levels."""
    args = SimpleNamespace(num_quantizers=6, shared_codebook=False, quantize_dropout_prob=0.2, mu=0.99)
    model = importlib.import_module("models.vq.model")
    return model.RVQVAE(args, 263, 512, 512, 512, down_t=2, stride_t=2, width=512, depth=3, dilation_growth_rate=3)


def transformer(name: str, **more: Any) -> Any:
    """`MaskTransformer` or `ResidualTransformer` of the published size."""
    stand_in_for_clip()
    module = importlib.import_module("models.mask_transformer.transformer")
    opt = SimpleNamespace(num_tokens=512, num_quantizers=6, device="cpu")
    return getattr(module, name)(code_dim=512, cond_mode="text", opt=opt, clip_version="", **SIZES, **more)


def training_step(model: Any, loss: Callable[[], Any]) -> Function:
    """Forward, backward and AdamW's update, as the public trainers do them."""
    import torch

    trained = [p for name, p in model.named_parameters() if not name.startswith("clip_model.")]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, betas=(0.9, 0.99), weight_decay=0.0)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def vq_train(work: Work) -> Function:
    """A step of the tokenizer with the losses of its trainer."""
    import torch

    model, motion = tokenizer(work).train(), torch.randn(work["batch"], work["frames"], 263)
    distance = torch.nn.SmoothL1Loss()

    def loss() -> torch.Tensor:
        made, commit, _ = model(motion)
        joints = slice(4, 21 * 3 + 4)
        return distance(made, motion) + 0.5 * distance(made[..., joints], motion[..., joints]) + 0.02 * commit

    return training_step(model, loss)


def vq_encode(work: Work) -> Function:
    """Motions to codes."""
    import torch

    model, motion = tokenizer(work).eval(), torch.randn(work["batch"], work["frames"], 263)
    return torch.no_grad()(lambda: model.encode(motion))


def masked_train(work: Work) -> Function:
    """A step of the masked transformer, the text embedding given."""
    import torch

    model, texts = transformer("MaskTransformer", cond_drop_prob=0.1).train(), ["a person"] * work["batch"]
    codes = torch.randint(512, (work["batch"], work["tokens"]))
    lengths = torch.full((work["batch"],), work["tokens"])
    return training_step(model, lambda: model(codes, texts, lengths)[0])


def residual_train(work: Work) -> Function:
    """A step of the residual transformer, the text embedding given."""
    import torch

    model = transformer("ResidualTransformer", cond_drop_prob=0.2, share_weight=True).train()
    texts, codes = ["a person"] * work["batch"], torch.randint(512, (work["batch"], work["tokens"], 6))
    lengths = torch.full((work["batch"],), work["tokens"])
    return training_step(model, lambda: model(codes, texts, lengths)[0])


def generate(work: Work) -> Function:
    """Text embeddings to joints, as the public `gen_t2m.py` goes."""
    import torch

    tokens = work["frames"] // 4
    model, texts = tokenizer(work).eval(), ["a person"] * work["batch"]
    masked = transformer("MaskTransformer", cond_drop_prob=0.1).eval()
    residual = transformer("ResidualTransformer", cond_drop_prob=0.2, share_weight=True).eval()
    lengths = torch.full((work["batch"],), tokens)
    to_joints = importlib.import_module("utils.motion_process").recover_from_ric

    def run() -> None:
        codes = masked.generate(texts, lengths, timesteps=10, cond_scale=4, temperature=1)
        codes = residual.generate(codes, texts, lengths, temperature=1, cond_scale=5)
        to_joints(model.forward_decoder(codes), 22)

    return torch.no_grad()(run)


def features(work: Work) -> Function:
    """Joints to features, the skeleton normalised."""
    import torch

    module, names = importlib.import_module("utils.motion_process"), importlib.import_module("utils.paramUtil")
    joints = np.load(work["joints"])
    offsets, chains = torch.from_numpy(names.t2m_raw_offsets), names.t2m_kinematic_chain
    # The module reads these from the main program.
    module.__dict__.update(n_raw_offsets=offsets, kinematic_chain=chains, l_idx1=5, l_idx2=8)
    module.__dict__.update(fid_r=[8, 11], fid_l=[7, 10], face_joint_indx=[2, 1, 17, 16])
    skeleton = importlib.import_module("common.skeleton").Skeleton(offsets, chains, "cpu")
    module.__dict__["tgt_offsets"] = skeleton.get_offsets_joints(torch.from_numpy(joints[0]))
    return lambda: module.process_file(joints.copy(), 0.002)


def joints(work: Work) -> Function:
    """Features to joints."""
    import torch

    to_joints = importlib.import_module("utils.motion_process").recover_from_ric
    motion = torch.randn(work["batch"], work["frames"], 263)
    return lambda: to_joints(motion, 22)


def bvh(work: Work) -> Function:
    """Joints to BVH, with 100 iterations as in the public `gen_t2m.py`."""
    matplotlib_of_then()
    motion, converter = (
        np.load(work["joints"]),
        importlib.import_module("visualization.joints2bvh").Joint2BVHConvertor(),
    )
    return lambda: converter.convert(motion.copy(), filename=work["file"], iterations=100, foot_ik=work["foot_ik"])


def mp4(work: Work) -> Function:
    """The stick-figure video at a size in pixels."""
    matplotlib_of_then()
    module, names = importlib.import_module("utils.plot_script"), importlib.import_module("utils.paramUtil")
    motion, size = np.load(work["joints"]), (work["side"] / 100, work["side"] / 100)
    chains = names.t2m_kinematic_chain
    return lambda: module.plot_3d_motion(work["file"], chains, motion, work["title"], figsize=size, fps=20)


def fid(work: Work) -> Function:
    """Statistics of two sets of embeddings and their distance."""
    module = importlib.import_module("utils.metrics")
    texts, motions = embeddings(work)

    def run() -> object:
        first, second = map(module.calculate_activation_statistics, (texts, motions))
        return module.calculate_frechet_distance(*first, *second)

    return run


def r_precision(work: Work) -> Function:
    """Top 1 to 3 in pools."""
    module, pool = importlib.import_module("utils.metrics"), work["pool"]
    texts, motions = embeddings(work)
    starts = range(0, len(texts) - pool + 1, pool)

    def run() -> None:
        for start in starts:
            one, other = texts[start : start + pool], motions[start : start + pool]
            module.calculate_R_precision(one, other, top_k=3, sum_all=True)

    return run


def embeddings(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Two sets (count, width) in float32."""
    texts = np.random.default_rng(0).standard_normal((work["count"], work["width"])).astype(np.float32)
    return texts, texts + np.float32(0.1)


PREPARE: dict[str, Callable[[Work], Function]] = {
    function.__name__: function
    for function in (
        vq_train,
        vq_encode,
        masked_train,
        residual_train,
        generate,
        features,
        joints,
        bvh,
        mp4,
        fid,
        r_precision,
    )
}


def answer(request: dict[str, Any], state: dict[str, Function]) -> dict[str, Any]:
    """What one line of the input gives."""
    if "prepare" in request:
        state.clear()
        state["run"] = PREPARE[request["prepare"]](request["work"])
        return {}
    start = time.perf_counter()
    for _ in range(request["run"]):
        state["run"]()
    return {"seconds": time.perf_counter() - start}


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the public code prints
    checkout, threads = sys.argv[1], int(sys.argv[2])
    os.chdir(checkout)  # it opens files by paths from there
    sys.path[0] = checkout
    names_that_were_moved()
    if threads:
        importlib.import_module("torch").set_num_threads(threads)
    state: dict[str, Function] = {}
    for line in sys.stdin:
        try:
            found = answer(json.loads(line), state)
        except Exception as error:  # whatever the public code does, the next pair has its turn
            found = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
