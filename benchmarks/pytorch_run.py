"""The same network and training in idiomatic PyTorch: channels last, in its fastest precision.

Run by bench.py where torch is installed: ``python benchmarks/pytorch_run.py SEED CHECKPOINT``
prints a line of JSON. The files are read where keras.datasets keeps them, below KERAS_HOME.
"""

import copy
import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from measure import peak_memory
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

seed, checkpoint = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(seed)


def read(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images (n, 1, 28, 28) in [0, 1] and labels of one part of the data set."""
    directory = Path(os.environ["KERAS_HOME"], "datasets", "fashion-mnist")
    with gzip.open(directory / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(directory / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32) / 255, labels.astype(np.int64)


def dataset(images: np.ndarray, labels: np.ndarray) -> TensorDataset:
    """Put images and labels together."""
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))


train_images, train_labels = read("train")
train_images, validation_images, train_labels, validation_labels = train_test_split(
    train_images, train_labels, test_size=0.2, random_state=42
)
train_loader = DataLoader(dataset(train_images, train_labels), batch_size=32, shuffle=True)
validation_loader = DataLoader(dataset(validation_images, validation_labels), batch_size=256)
test_loader = DataLoader(dataset(*read("t10k")), batch_size=256)

model = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(64 * 7 * 7, 100),
    nn.ReLU(),
    nn.Dropout(0.4),
    nn.Linear(100, 10),
).to(memory_format=torch.channels_last)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    is_bfloat16: bool,
) -> None:
    """Take one step."""
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bfloat16):
        outputs = model(images.to(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(outputs, labels)
    loss.backward()
    optimizer.step()


def seconds_of(steps: int, is_bfloat16: bool) -> float:
    """Time some steps of a copy of the model."""
    trial = copy.deepcopy(model)
    optimizer = torch.optim.Adam(trial.parameters())
    images, labels = next(iter(validation_loader))
    start = time.perf_counter()
    for _ in range(steps):
        train_step(trial, optimizer, images[:32], labels[:32], is_bfloat16)
    return time.perf_counter() - start


def evaluate(loader: DataLoader) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bfloat16):
        for images, labels in loader:
            outputs = model(images.to(memory_format=torch.channels_last)).float()
            loss += nn.functional.cross_entropy(outputs, labels, reduction="sum").item()
            correct += (outputs.argmax(1) == labels).sum().item()
            count += len(labels)
    return loss / count, correct / count


for precision in (False, True):
    seconds_of(5, precision)  # warm up
is_bfloat16 = seconds_of(20, True) < seconds_of(20, False)

optimizer = torch.optim.Adam(model.parameters())
best_loss, best_weights, patience = float("inf"), model.state_dict(), 2
epoch_ends: list[float] = []
epoch_validation_accuracies: list[float] = []
start = time.perf_counter()
for _ in range(20):
    model.train()
    for images, labels in train_loader:
        train_step(model, optimizer, images, labels, is_bfloat16)
    validation_loss, validation_accuracy = evaluate(validation_loader)
    epoch_ends.append(time.perf_counter() - start)
    epoch_validation_accuracies.append(validation_accuracy)
    if validation_loss < best_loss:
        best_loss, best_weights, patience = validation_loss, copy.deepcopy(model.state_dict()), 2
        torch.save(best_weights, checkpoint)
    else:
        patience -= 1
        if patience == 0:
            break
model.load_state_dict(best_weights)
seconds = time.perf_counter() - start
memory = peak_memory()

validation_loss, validation_accuracy = evaluate(validation_loader)
test_loss, test_accuracy = evaluate(test_loader)
print(
    json.dumps(
        {
            "epochs": len(epoch_ends),
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "seconds": seconds,
            "epoch_ends": epoch_ends,
            "epoch_validation_accuracies": epoch_validation_accuracies,
            "peak_memory": memory,
            "precision": "bfloat16" if is_bfloat16 else "float32",
        }
    )
)
