"""The improvement of planning_objective.py in PyTorch. Arguments: eager or compile, and the number of threads."""
import os
import sys
from types import SimpleNamespace

mode, threads = sys.argv[1], int(sys.argv[2])
# The loops of compiled code take their threads from here, when the library loads.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)

import numpy as np
import torch
from torch.nn import functional

import planning_objective as planning

torch.set_num_threads(threads)


def linear(x, weights, bias):
    if weights.dim() == 2:
        return torch.addmm(bias, x, weights)
    return torch.baddbmm(bias, x.expand(len(weights), -1, -1), weights)


xp = SimpleNamespace(
    **{name: getattr(torch, name) for name in ["exp", "log", "tanh", "relu", "minimum"]},
    concatenate=torch.cat,
    silu=functional.silu,
    softplus=functional.softplus,
    linear=linear,
)


def main():
    example = planning.example()
    tensors = lambda arrays: [torch.from_numpy(array) for array in arrays]
    policies = [[p.requires_grad_() for p in tensors(policy)] for policy in example["policies"]]
    acting = [p.detach() for p in policies[0]]
    critic, model, states = tensors(example["critic"]), tensors(example["model"]), torch.from_numpy(example["states"])
    optimizer = torch.optim.Adam([p for policy in policies for p in policy], lr=planning.LEARNING_RATE, fused=True)
    random = np.random.default_rng(2)

    def loss(drawn):
        return planning.loss(xp, policies, acting, critic, model, states, drawn)

    if mode == "compile":
        loss = torch.compile(loss, dynamic=False)

    def improve():
        cost = loss(tensors(planning.noise(random)))
        optimizer.zero_grad(set_to_none=True)
        cost.backward()
        for policy in policies:
            torch.nn.utils.clip_grad_norm_(policy, planning.CLIP, foreach=True)
        optimizer.step()
        return -cost.item()

    planning.serve(improve)


main()
