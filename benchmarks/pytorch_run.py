"""The same network and training in idiomatic PyTorch: channels last, bfloat16 if it is in hardware.

Run by trainings.py where torch is installed: ``python benchmarks/pytorch_run.py SEED CHECKPOINT``
prints a line of JSON.
"""

import copy
import sys
from pathlib import Path

import torch
from measure import Run
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fashion_cnn as fc

seed, checkpoint = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(seed)
precision = "bfloat16" if "bf16" in Path("/proc/cpuinfo").read_text() else "float32"


def loader_of(split: fc.Split, batch_size: int = 256, shuffle: bool = False) -> DataLoader:
    """Return batches of images (n, 1, 28, 28) and labels."""
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    return DataLoader(TensorDataset(images, torch.from_numpy(split.labels)), batch_size, shuffle)


data = fc.load_fashion_mnist()
train_loader = loader_of(data.train, batch_size=32, shuffle=True)
validation_loader = loader_of(data.validation)

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


def outputs_of(images: torch.Tensor) -> torch.Tensor:
    """Return the logits."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        return model(images.to(memory_format=torch.channels_last)).float()


def evaluate(loader: DataLoader) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = outputs_of(images)
            loss += nn.functional.cross_entropy(outputs, labels, reduction="sum").item()
            correct += (outputs.argmax(1) == labels).sum().item()
            count += len(labels)
    return loss / count, correct / count


optimizer = torch.optim.Adam(model.parameters())
best_loss, best_weights, patience = float("inf"), model.state_dict(), 2
accuracies: list[float] = []
run = Run()
for _ in range(20):
    model.train()
    for images, labels in train_loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs_of(images), labels).backward()
        optimizer.step()
    loss, accuracy = evaluate(validation_loader)
    run.end_epoch()
    accuracies.append(accuracy)
    if loss < best_loss:
        best_loss, best_weights, patience = loss, copy.deepcopy(model.state_dict()), 2
        torch.save(best_weights, checkpoint)
    else:
        patience -= 1
        if patience == 0:
            break
model.load_state_dict(best_weights)
run.end()
run.write(
    accuracies,
    validation=evaluate(validation_loader),
    test=evaluate(loader_of(data.test)),
    precision=precision,
)
