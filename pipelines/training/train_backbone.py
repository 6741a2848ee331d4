"""Train an EDSR backbone on folders of photographs, from scratch or grown from a smaller x2 one.

``python -m pipelines.training.train_backbone --photos DIR [DIR ...] --work DIR`` trains with L1 and Adam
on a cosine schedule, in bfloat16 autocast and channels-last layout on a CPU, and writes a
checkpoint every few minutes; the same command continues an interrupted run, drawing the same
batches as an uninterrupted one would. Continuing with another ``--steps`` shortens or lengthens the
schedule from there on, and the export tells. ``--export FILE`` writes the finished network as
safetensors.

The network is trained with features of unit scale, where Adam moves weights and biases alike,
and exported with ``img_range`` 255, the scale of the published EDSR: ReLU networks are
positively homogeneous, so multiplying every bias by 255 gives the same function.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from adabm._compat import basicsr_module
from adabm.pictures.reading import list_images, read_raw
from adabm.pictures.resize import downscale, modcrop
from adabm.support.arguments import Parser
from adabm.support.files import file_sha256, write_atomically
from adabm.support.process import as_command
from adabm.support.serialization import safetensors_bytes

from .growing import grow_edsr

IMG_RANGE = 255.0


def build_edsr(features: int, blocks: int, scale: int, img_range: float) -> torch.nn.Module:
    edsr = basicsr_module("archs.edsr_arch").EDSR
    return edsr(3, 3, num_feat=features, num_block=blocks, upscale=scale, img_range=img_range)


def load_pairs(folders: list[str], scale: int) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Return (HR, LR) uint8 pairs of all pictures, and the sha256 over their names and bytes."""
    pairs, digest = [], hashlib.sha256()
    for folder in folders:
        for path in list_images(folder):
            digest.update(path.name.encode() + path.read_bytes())
            image = read_raw(path)
            image = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
            high = np.ascontiguousarray(modcrop(image, scale))
            pairs.append((high, downscale(high, scale)))
    return pairs, digest.hexdigest()


def draw_batch(
    pairs: list, weights: np.ndarray, step: int, args: argparse.Namespace
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the batch of one step: it depends on the seed and the step alone."""
    rng = np.random.default_rng((args.seed, step))
    size, scale = args.patch, args.scale
    highs, lows = [], []
    for index in rng.choice(len(pairs), args.batch, p=weights):
        high, low = pairs[index]
        top, left = (int(rng.integers(side - size + 1)) for side in low.shape[:2])
        low = low[top : top + size, left : left + size]
        high = high[top * scale : (top + size) * scale, left * scale : (left + size) * scale]
        flip, turns = rng.integers(2), int(rng.integers(4))
        low, high = (np.rot90(p[:, ::-1] if flip else p, turns) for p in (low, high))
        lows.append(low)
        highs.append(high)
    return tuple(torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2).float() / 255 for p in (lows, highs))


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Linear warm-up, then cosine to 1 % of the peak."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    progress = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def set_psnr_y(network: torch.nn.Module, pairs: list, scale: int) -> float:
    """Mean Y-PSNR (dB) over pairs, for following the training; not the study's evaluation."""
    to_y = np.array([65.481, 128.553, 24.966]) / 255
    values = []
    for high, low in pairs:
        x = torch.from_numpy(low).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            out = network(x)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
        error = ((out - high) @ to_y)[scale:-scale, scale:-scale]
        values.append(10 * math.log10(255**2 / np.mean(error**2)))
    return float(np.mean(values))


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads or os.cpu_count())
    torch.manual_seed(args.seed)
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    pairs, data_hash = load_pairs(args.photos, args.scale)
    pairs = [p for p in pairs if min(p[1].shape[:2]) >= args.patch]
    area = np.array([low.shape[0] * low.shape[1] for _, low in pairs], float)
    weights = np.sqrt(area) / np.sqrt(area).sum()
    watch = load_pairs([args.watch], args.scale)[0] if args.watch else []
    network = build_edsr(args.features, args.blocks, args.scale, 1.0)
    if args.grow_from:
        grow_edsr(args.grow_from, network)
    network = network.to(memory_format=torch.channels_last)
    average = build_edsr(args.features, args.blocks, args.scale, 1.0)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr, betas=(0.9, 0.99))
    recipe = {
        k: v
        for k, v in vars(args).items()
        if k not in ("work", "export", "watch", "threads", "photos", "save_seconds", "steps", "grow_from")
    }
    if args.grow_from:
        recipe["grown_from_sha256"] = file_sha256(args.grow_from)
    checkpoint, start, seconds, schedule = work / "train.pt", 0, 0.0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != recipe or state["data"] != data_hash:
            raise SystemExit(f"{checkpoint} belongs to another recipe or data; remove it or choose another --work")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds, schedule = state["step"], state["seconds"], state["schedule"]
    if not schedule or schedule[-1][1] != args.steps:
        schedule.append([start, args.steps])  # from this step on, a cosine over so many steps
    recipe_out = {**recipe, "schedule": schedule}
    print(f"{len(pairs)} pictures, data sha256 {data_hash[:12]}, steps {start} to {args.steps}", flush=True)
    begun, saved, running = time.time(), time.time(), 0.0
    for step in range(start, args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        low, high = draw_batch(pairs, weights, step, args)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(low.contiguous(memory_format=torch.channels_last))
        loss = F.l1_loss(out.float(), high)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), args.clip)
        optimizer.step()
        decay = min(args.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), network.parameters()):
                slow.lerp_(fast, 1 - decay)
        running += loss.item()
        if (step + 1) % 500 == 0:
            psnr = f", watched PSNR {set_psnr_y(average, watch, args.scale):.3f} dB" if watch else ""
            rate = (time.time() - begun) / (step + 1 - start)
            print(f"step {step + 1}: L1 {running / 500 * 255:.3f}{psnr}, {rate:.3f} s a step", flush=True)
            running = 0.0
        if time.time() - saved > args.save_seconds or step + 1 == args.steps:
            state = dict(
                network=network.state_dict(),
                average=average.state_dict(),
                optimizer=optimizer.state_dict(),
                step=step + 1,
                seconds=seconds + time.time() - begun,
                recipe=recipe,
                schedule=schedule,
                data=data_hash,
            )
            torch.save(state, checkpoint.with_suffix(".tmp"))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
            saved = time.time()
    if args.export:
        export(average, recipe_out, data_hash, seconds + time.time() - begun, Path(args.export), args)


def export(
    network: torch.nn.Module, recipe: dict, data_hash: str, seconds: float, path: Path, args: argparse.Namespace
) -> None:
    """Write the network with ``img_range`` 255 as safetensors; its recipe goes into the metadata."""
    tensors = {k: (v * IMG_RANGE if k.endswith("bias") else v).clone() for k, v in network.state_dict().items()}
    options = dict(
        num_in_ch=3,
        num_out_ch=3,
        num_feat=args.features,
        num_block=args.blocks,
        upscale=args.scale,
        img_range=IMG_RANGE,
    )
    metadata = {
        "network": "EDSR",
        "options": json.dumps(options),
        "recipe": json.dumps(recipe),
        "training_data_sha256": data_hash,
        "training_seconds": f"{seconds:.0f}",
    }
    write_atomically(path, safetensors_bytes(tensors, metadata))
    print(f"{path}: sha256 {file_sha256(path)}")


def main() -> None:
    parser = Parser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--photos", nargs="+", required=True, help="folders of HR training pictures")
    parser.add_argument("--work", required=True, help="folder for the checkpoint")
    parser.add_argument("--export", help="write the finished network to this .safetensors file")
    parser.add_argument("--grow-from", help="start from this EDSR x2 (.safetensors) instead of from scratch")
    parser.add_argument("--watch", help="folder of HR pictures whose PSNR is printed; never trained on")
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--steps", type=int, default=26000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=32, help="side of the LR patches")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--clip", type=float, default=1.0, help="largest gradient norm")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the exported weight average")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--save-seconds", type=float, default=120)
    train(parser.parse_args())


if __name__ == "__main__":
    sys.exit(as_command("train_backbone", main))
