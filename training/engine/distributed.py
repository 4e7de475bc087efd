"""Processes that train one network together: start, share work, add up, stop."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deepfake.models.precision import choose_device
from deepfake.models.timm_import import convert_sync_batchnorm

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_NAMES_OF_SENDING = ("forward_sync_buffers", "broadcast_buffers")
"""The newer and the older torch's option to send buffers before each forward pass."""
_SENDING = next(name for name in _NAMES_OF_SENDING if name in inspect.signature(DistributedDataParallel).parameters)


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; `device` is where its network is."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    distributed: bool = False

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def start(distributed: bool, device: str = "auto") -> Ranks:
    """Chooses the device and, if `distributed`, joins the processes that torchrun started.

    Args:
        device: `auto` is CUDA if there is one, else the CPU; `cuda` in a distributed run is the local rank's GPU.

    Raises:
        ValueError: CUDA is not there, has fewer GPUs than processes, or torchrun was not or should have been used.
    """
    kind = choose_device(device)
    if not distributed:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("started by torchrun as one of several processes: add --distributed")
        return Ranks(torch.device(kind))
    missing = [name for name in _LAUNCHER_VARIABLES if name not in os.environ]
    if missing:
        raise ValueError(f"--distributed needs torchrun (train.sh uses it): {', '.join(missing)} not set")
    if kind == "cuda":
        local_rank = int(os.environ["LOCAL_RANK"])
        if local_rank >= torch.cuda.device_count():
            raise ValueError(f"process {local_rank} of this machine has no GPU: {torch.cuda.device_count()} found")
        torch.cuda.set_device(local_rank)
        kind = f"cuda:{local_rank}"
    # Small sums travel by gloo also where gradients travel by nccl: they need not wait for the GPU.
    dist.init_process_group("gloo" if kind == "cpu" else "cpu:gloo,cuda:nccl")
    return Ranks(torch.device(kind), dist.get_rank(), dist.get_world_size(), distributed=True)


def stop(ranks: Ranks) -> None:
    if ranks.distributed and dist.is_initialized():
        dist.destroy_process_group()


def prepare(network: nn.Module, ranks: Ranks, size: int) -> nn.Module:
    """Moves a network to its device; in a distributed run on CUDA its batch norms share statistics (SyncBN).

    Parameters that the output for a (1, 3, size, size) input does not depend on, such as an encoder's own classifier,
    are frozen: distributed training would wait for their gradients, and optimizers need not know them.
    """
    network = network.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _freeze_unused(network, torch.zeros(1, 3, size, size, device=ranks.device))
    if ranks.distributed and ranks.device.type == "cuda":
        network = synchronize_batch_norms(network)
    return network


def synchronize_batch_norms(network: nn.Module) -> nn.Module:
    """Batch norms share statistics among ranks (SyncBN), with their activations where timm has these inside."""
    return convert_sync_batchnorm(network)  # torch's own would lose the activations


def wrap(network: nn.Module, ranks: Ranks) -> nn.Module:
    """The network as the training step calls it: gradients are averaged over ranks."""
    if not ranks.distributed or not any(p.requires_grad for p in network.parameters()):
        return network
    device_ids = [ranks.device] if ranks.device.type == "cuda" else None
    # Training needs no common buffers (`share_buffers` is for validation), and a task may go forward several times
    # before it goes backward: buffers sent in between would change under what the first pass has saved.
    return DistributedDataParallel(network, device_ids=device_ids, **{_SENDING: False})  # type: ignore[arg-type]


def share_buffers(network: nn.Module, ranks: Ranks) -> None:
    """Gives every rank the first one's buffers: without SyncBN each has its own batch-norm statistics."""
    if ranks.distributed:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def sum_over_ranks(tensor: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """The sum over ranks of a tensor on the CPU."""
    if not ranks.distributed:
        return tensor
    shared = tensor.clone()
    dist.all_reduce(shared)
    return shared


def rows_of_ranks(row: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """(n,) of each rank, on the CPU -> (world size, n)."""
    table = torch.zeros(ranks.world_size, len(row), dtype=row.dtype)
    table[ranks.rank] = row
    return sum_over_ranks(table, ranks)


def mean_over_ranks(tensor: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """The mean over ranks, where the tensor is."""
    if not ranks.distributed:
        return tensor
    shared = tensor.clone()
    dist.all_reduce(shared)
    return shared / ranks.world_size


def _freeze_unused(network: nn.Module, example: torch.Tensor) -> None:
    was_training = network.training
    network.eval()  # leaves batch-norm statistics and random state alone
    network(example).sum().backward()
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
    network.zero_grad(set_to_none=True)
    network.train(was_training)
