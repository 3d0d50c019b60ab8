"""Trains the example's network on scikit-learn's handwritten digits, and writes the model and its data.

The exact commands, from the root of the repository, with Python 3.11 or newer (training takes 15 s on one CPU core):

    python3 -m venv /tmp/digits-venv
    /tmp/digits-venv/bin/pip install torch==2.15.0 scikit-learn==1.9.1 onnx==1.23.2 numpy==2.4.6
    /tmp/digits-venv/bin/python examples/digits/train.py --seed 0 --out examples/digits

It writes, under ``--out``:

    model.onnx              opset 17; ``image`` float32 [batch, 1, 8, 8] in 0..1 -> ``logits`` float32 [batch, 10]
    calibration.npz         ``image`` float32 [256, 1, 8, 8]: drawn from the images that the network was trained on
    evaluation.npz          ``image`` float32 [450, 1, 8, 8]: held out, in no way used in training
    evaluation-labels.npy   int64 [450]: the digit that each evaluation image shows

The split is always the same; ``--seed`` governs initial weights, order of images and augmentation.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SPLIT_SEED = 0
EVALUATION_IMAGES = 450
CALIBRATION_IMAGES = 256
EPOCHS = 80
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05
REQUIRED_TOP1_PERCENT = 98.0
BRIGHTEST_PIXEL = 16.0


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the channel count changes."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_in, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv2 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Maps [batch, channels_in, height, width] to [batch, channels_out, height, width]."""
        inner = functional.relu(self.norm1(self.conv1(features)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))


class DigitsNetwork(nn.Module):
    """A small residual network with each of the patterns that INT8 placement must get right.

    A stem, an identity and a projected residual addition, a maximum and an average pooling, and a Gemm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.block1 = ResidualBlock(32, 32)
        self.pool = nn.MaxPool2d(2)
        self.block2 = ResidualBlock(32, 64)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Maps images [batch, 1, 8, 8] to logits [batch, 10]."""
        features = self.block2(self.pool(self.block1(self.stem(image))))
        logits: Tensor = self.classifier(self.average(features).flatten(1))
        return logits


@dataclass(frozen=True, slots=True)
class Split:
    """Images float32 [count, 1, 8, 8] in 0..1, labels int64 [count]; evaluation shares no image with training."""

    training_images: np.ndarray
    training_labels: np.ndarray
    calibration_images: np.ndarray
    evaluation_images: np.ndarray
    evaluation_labels: np.ndarray


def load_split() -> Split:
    """Splits the 1797 digits, stratified by label; the calibration images are a part of the training images."""
    digits = load_digits()
    images = (digits.images / BRIGHTEST_PIXEL).astype(np.float32)[:, np.newaxis]
    labels = digits.target.astype(np.int64)
    training_images, evaluation_images, training_labels, evaluation_labels = train_test_split(
        images, labels, test_size=EVALUATION_IMAGES, stratify=labels, random_state=SPLIT_SEED
    )
    _, calibration_images = train_test_split(
        training_images, test_size=CALIBRATION_IMAGES, stratify=training_labels, random_state=SPLIT_SEED
    )
    return Split(training_images, training_labels, calibration_images, evaluation_images, evaluation_labels)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turns each image by up to 9 degrees, scales it by up to 10 % and shifts it by up to 0.8 pixels."""
    count = images.shape[0]

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, scale = uniform(math.radians(9)), 1 + uniform(0.1)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # affine_grid counts from -1 to 1 over the 8 pixels, so 0.2 is 0.8 pixels.
    rows = torch.stack([cosine, -sine, uniform(0.2), sine, cosine, uniform(0.2)], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(rows, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def train(images: Tensor, labels: Tensor, seed: int) -> DigitsNetwork:
    """Returns a trained network in evaluation mode. One thread, so that sums are added in the same order."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    network = DigitsNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches_per_epoch = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=PEAK_LEARNING_RATE, total_steps=EPOCHS * batches_per_epoch
    )
    for epoch in range(1, EPOCHS + 1):
        total_loss = 0.0
        order = torch.randperm(len(images), generator=generator)
        for batch in order[: batches_per_epoch * BATCH_SIZE].split(BATCH_SIZE):
            loss = functional.cross_entropy(
                network(augment(images[batch], generator)), labels[batch], label_smoothing=LABEL_SMOOTHING
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item()
        if epoch % 10 == 0:
            print(f"epoch {epoch}/{EPOCHS}: mean training loss {total_loss / batches_per_epoch:.4f}", flush=True)
    return network.eval()


def top1_percent(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images, in percent, whose largest logit is the label's."""
    with torch.no_grad():
        return 100.0 * (network(images).argmax(dim=1) == labels).double().mean().item()


def export(network: nn.Module, path: Path) -> None:
    """Writes the network, batch normalization folded into the convolutions, with a dynamic batch axis."""
    # dynamo=False: the tracing exporter names nodes after the modules and needs no further package.
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    onnx.checker.check_model(str(path), full_check=True)


def save_data(split: Split, folder: Path) -> None:
    """Writes the calibration and evaluation data, compressed; the same data gives the same bytes."""
    np.savez_compressed(folder / "calibration.npz", image=split.calibration_images)
    np.savez_compressed(folder / "evaluation.npz", image=split.evaluation_images)
    np.save(folder / "evaluation-labels.npy", split.evaluation_labels)


def main() -> int:
    """Trains, measures and writes; returns 1, with nothing written, where the network is not good enough."""
    parser = argparse.ArgumentParser(description="Train the digits example and export it to ONNX.")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="default: this script's folder"
    )
    options = parser.parse_args()
    split = load_split()
    network = train(torch.from_numpy(split.training_images), torch.from_numpy(split.training_labels), options.seed)
    top1 = top1_percent(network, torch.from_numpy(split.evaluation_images), torch.from_numpy(split.evaluation_labels))
    print(f"held-out top-1: {top1:.2f} % of {len(split.evaluation_labels)} images")
    if top1 < REQUIRED_TOP1_PERCENT:
        print(f"below {REQUIRED_TOP1_PERCENT} %: nothing written; try another --seed", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    export(network, options.out / "model.onnx")
    save_data(split, options.out)
    print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
